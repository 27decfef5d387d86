"""The CPU backend: kernels written as LLVM IR for the processor at hand, without any compiler.

The three functions of a backend. Each checks shapes, types, strides and all block lists before a
pointer is taken, makes the tensors' rows dense where they are not, and runs in torch's own threads.
"""

import torch
from torch import Tensor

from prune.errors import KernelError
from prune.kernels.layout import Layout
from prune.kernels.llvm import call, product_ir, sampled_ir, turn_ir
from prune.kernels.llvm.call import Lists
from prune.kernels.llvm.code import team_size
from prune.kernels.llvm.machine import Machine, host

SHORT = 40  # tokens that the sampled product copies at a time: they should stay in the caches


def product(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    layout: Layout,
    machine: Machine | None = None,
) -> Tensor:
    """y = x W' + b. x: (tokens, in) -> (tokens, out)."""
    return _product(x, values, bias, call.by_rows(layout), machine or host())


def transposed(
    grad: Tensor, values: Tensor, layout: Layout, machine: Machine | None = None
) -> Tensor:
    """dL/dx = dL/dy W. grad: (tokens, out) -> (tokens, in)."""
    machine = machine or host()
    turned = _turned(values, machine)
    return _product(grad, turned, None, call.by_columns(layout), machine)


def _turned(values: Tensor, machine: Machine) -> Tensor:
    """(live, depth, size) -> (live, size, depth), contiguous."""
    live, depth, size = values.shape
    call.supported(values.dtype, (depth, size))
    call.on_cpu(values)
    values = values.contiguous()
    turned = call.empty(live, size, depth, dtype=values.dtype)
    code = call.kernel(turn_ir, depth, size, values.dtype == torch.bfloat16, machine)
    places = {"source": values.data_ptr(), "target": turned.data_ptr()}
    code(team_size(), **places, blocks=live)
    return turned


def sampled(
    grad: Tensor,
    x: Tensor,
    size: tuple[int, int],
    layout: Layout,
    machine: Machine | None = None,
) -> Tensor:
    """dL/dW = dL/dy' x at the live blocks. size: (height, width) -> (live, width, height)."""
    height, width = size
    call.supported(x.dtype, size)
    call.matrix("x", x, width * layout.columns, x.dtype)
    call.matrix("grad", grad, height * layout.rows, x.dtype)
    tokens, live = x.shape[0], layout.live
    if tokens != grad.shape[0]:
        raise KernelError(
            f"{tokens} inputs, {grad.shape[0]} gradients: the tokens are not the same"
        )
    bf16 = x.dtype == torch.bfloat16
    code = call.kernel(sampled_ir, width, height, bf16, machine or host())
    lists = call.by_rows(layout)
    code.check(lists, live)
    out = call.empty(live, width, height, dtype=torch.float32)
    if not live or not tokens:
        return out.zero_().to(x.dtype)
    x, grad = call.dense_rows(x), call.dense_rows(grad)
    threads = min(team_size(), live)
    chunk = min(SHORT, tokens + tokens % 2)
    stride = call.padded((x.shape[1] + grad.shape[1]) * chunk * code.spec.panel_item)
    code(
        threads,
        **call.place("x", x),
        **call.place("grad", grad),
        **lists._asdict(),
        tokens=tokens,
        out=out.data_ptr(),
        blocks=live,
        scratch=call.scratch(threads * stride).data_ptr(),
        scratch_stride=stride,
        chunk=chunk,
    )
    return out.to(x.dtype)


def _product(
    x: Tensor, values: Tensor, bias: Tensor | None, lists: Lists, machine: Machine
) -> Tensor:
    """x (tokens, others * depth), values (live, depth, size) -> (tokens, lists * size)."""
    live, depth, size = values.shape
    tokens, width, dtype = x.shape[0], lists.lists * size, values.dtype
    call.supported(dtype, (depth, size))
    call.on_cpu(values)
    call.matrix("x", x, lists.others * depth, dtype)
    if bias is not None:
        call.matrix("bias", bias[None], width, dtype)
        bias = bias.contiguous()
    code = call.kernel(product_ir, depth, size, dtype == torch.bfloat16, machine)
    code.check(lists, live)
    y = call.empty(tokens, width, dtype=dtype)
    if not tokens:
        return y
    x, values = call.dense_rows(x), values.contiguous()
    threads = team_size()
    spec = code.spec
    chunk, chunks = call.chunks(tokens, threads, spec.tile)
    sums_at = call.padded(x.shape[1] * chunk * spec.panel_item)
    stride = sums_at + call.padded(chunk * spec.abreast * spec.lanes * 4)
    code(
        threads,
        **call.place("x", x),
        **call.place("y", y),
        **lists._asdict(),
        tokens=tokens,
        bias=bias.data_ptr() if bias is not None else 0,
        values=values.data_ptr(),
        scratch=call.scratch(threads * stride).data_ptr(),
        scratch_stride=stride,
        chunk=chunk,
        chunks=chunks,
        sums_at=sums_at,
        groups=min(lists.lists, -(-threads // chunks)),
    )
    return y
