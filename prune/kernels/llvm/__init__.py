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
from prune.kernels.llvm.machine import Machine, host
from prune.kernels.llvm.spec import Spec


def product(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    layout: Layout,
    machine: Machine | None = None,
) -> Tensor:
    """y = x W' + b. x: (tokens, in) -> (tokens, out)."""
    return _product(x, values, bias, _by_rows(layout), machine or host())


def transposed(
    grad: Tensor, values: Tensor, layout: Layout, machine: Machine | None = None
) -> Tensor:
    """dL/dx = dL/dy W. grad: (tokens, out) -> (tokens, in)."""
    machine = machine or host()
    turned = _turned(values, machine)
    return _product(grad, turned, None, _by_columns(layout), machine)


def _turned(values: Tensor, machine: Machine) -> Tensor:
    """(live, depth, size) -> (live, size, depth), contiguous."""
    live, depth, size = values.shape
    call.supported(values.dtype, (depth, size))
    call.on_cpu(values)
    values = values.contiguous()
    turned = call.empty(live, size, depth, dtype=values.dtype)
    code = call.kernel(turn_ir, Spec(depth, size, values.dtype == torch.bfloat16, machine))
    places = {"source": values.data_ptr(), "target": turned.data_ptr()}
    code(call.threads(), **places, blocks=live)
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
    if len(x) != len(grad):
        raise KernelError(f"{len(x)} inputs, {len(grad)} gradients: the tokens are not the same")
    spec = Spec(width, height, x.dtype == torch.bfloat16, machine or host())
    code, lists = call.kernel(sampled_ir, spec), _by_rows(layout)
    code.check(lists, layout.live)
    out = call.empty(layout.live, width, height, dtype=torch.float32)
    if not out.numel() or not len(x):
        return out.zero_().to(x.dtype)
    x, grad = call.dense_rows(x), call.dense_rows(grad)
    threads = min(call.threads(), layout.live)
    chunk = min(call.CHUNK, len(x) + len(x) % 2)
    stride = call.padded((x.shape[1] + grad.shape[1]) * chunk * spec.panel_item)
    code(
        threads,
        **call.place("x", x),
        **call.place("grad", grad),
        **_places(lists),
        tokens=len(x),
        out=out.data_ptr(),
        blocks=layout.live,
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
    width = (len(lists.start) - 1) * size
    call.supported(values.dtype, (depth, size))
    call.on_cpu(values)
    call.matrix("x", x, (len(lists.other_start) - 1) * depth, values.dtype)
    if bias is not None:
        call.matrix("bias", bias[None], width, values.dtype)
        bias = bias.contiguous()
    spec = Spec(depth, size, x.dtype == torch.bfloat16, machine)
    code = call.kernel(product_ir, spec)
    code.check(lists, live)
    y = call.empty(len(x), width, dtype=x.dtype)
    if not y.numel():
        return y
    x, values = call.dense_rows(x), values.contiguous()
    threads = call.threads()
    chunk, chunks = call.chunks(len(x), threads, product_ir.tiles(spec)[0])
    stride = call.padded(x.shape[1] * chunk * spec.panel_item)
    code(
        threads,
        **call.place("x", x),
        **call.place("y", y),
        **_places(lists),
        tokens=len(x),
        bias=bias.data_ptr() if bias is not None else 0,
        values=values.data_ptr(),
        order=lists.order.data_ptr() if lists.order is not None else 0,
        scratch=call.scratch(threads * stride).data_ptr(),
        scratch_stride=stride,
        chunk=chunk,
        chunks=chunks,
        groups=min(len(lists.start) - 1, -(-threads // chunks)),
    )
    return y


def _by_rows(layout: Layout) -> Lists:
    return Lists(layout.row_start, layout.column_of, None, layout.column_start)


def _by_columns(layout: Layout) -> Lists:
    return Lists(layout.column_start, layout.row_of, layout.order, layout.row_start)


def _places(lists: Lists) -> dict[str, int]:
    return {
        "start": lists.start.data_ptr(),
        "lists": len(lists.start) - 1,
        "other": lists.other.data_ptr(),
        "others": len(lists.other_start) - 1,
        "other_start": lists.other_start.data_ptr(),
    }
