"""The CUDA backend: Triton kernels for fp32, bf16 and fp16. The three functions of a backend.

fp32 products are three of TF32, which keeps fp32's accuracy. Indexes are not checked at each call,
which would wait for the device, but when a layer is made or loaded. In Triton's interpreter
(TRITON_INTERPRET=1) they run on the CPU, for tests.
"""

import torch
import triton
from torch import Tensor

from prune.errors import KernelError
from prune.kernels.layout import Layout
from prune.kernels.triton import code

INTERPRETED = not isinstance(code.product, triton.runtime.JITFunction)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
TOKENS = 128  # of a tile
WIDEST = 128  # a piece of a block
PROGRAMS = 512  # enough to keep a large device busy


def product(x: Tensor, values: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """y = x W' + b. x: (tokens, in) -> (tokens, out)."""
    _, depth, size = values.shape
    _check("x", x, layout.columns * depth, values)
    lists = layout.row_start, layout.column_of, None
    return _product(x, values, bias, lists, (depth, size), (size, 1))


def transposed(grad: Tensor, values: Tensor, layout: Layout) -> Tensor:
    """dL/dx = dL/dy W. grad: (tokens, out) -> (tokens, in). The values are read across."""
    _, width, height = values.shape
    _check("grad", grad, layout.rows * height, values)
    lists = layout.column_start, layout.row_of, layout.order
    return _product(grad, values, None, lists, (height, width), (1, height))


def sampled(grad: Tensor, x: Tensor, size: tuple[int, int], layout: Layout) -> Tensor:
    """dL/dW = dL/dy' x at the live blocks. size: (height, width) -> (live, width, height)."""
    height, width = size
    _check("x", x, layout.columns * width, x)
    _check("grad", grad, layout.rows * height, x)
    if len(grad) != len(x):
        raise KernelError(f"{len(x)} inputs, {len(grad)} gradients: the tokens are not the same")
    live, tokens = layout.live, len(x)
    if not live or not tokens:
        return x.new_zeros(live, width, height)
    x, grad = _dense_rows(x), _dense_rows(grad)
    tile = 64
    splits = max(1, min(-(-PROGRAMS // live), -(-tokens // (4 * tile))))
    share = tile * -(-tokens // (tile * splits))
    pieces = _piece(width), _piece(height)
    out = torch.empty(splits, live, width, height, device=x.device)
    grid = live, splits, (width // pieces[0]) * (height // pieces[1])
    code.sampled[grid](
        x,
        grad,
        out,
        layout.block_rows().int(),
        layout.column_of,
        tokens,
        x.stride(0),
        grad.stride(0),
        live,
        share,
        width,
        height,
        *pieces,
        tile,
        **_options(x.dtype),
    )
    return out.sum(0).to(x.dtype)


def _product(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    lists: tuple[Tensor, Tensor, Tensor | None],
    sides: tuple[int, int],
    strides: tuple[int, int],
) -> Tensor:
    """sides: a block's inputs and outputs; strides: between each, in `values`."""
    start, other, order = lists
    rows, size = len(start) - 1, sides[1]
    x, values = _dense_rows(x), values.contiguous()
    y = x.new_empty(len(x), rows * size)
    if not y.numel():
        return y
    tokens = 16 if len(x) <= 16 else TOKENS // 2 if len(x) <= 64 else TOKENS
    pieces = _piece(sides[0]), _piece(size)
    code.product[(-(-len(x) // tokens), rows, size // pieces[1])](
        x,
        values,
        bias if bias is not None else values,  # not read
        y,
        start,
        other,
        order if order is not None else other,  # not read
        len(x),
        x.stride(0),
        y.stride(0),
        *strides,
        *sides,
        *pieces,
        tokens,
        ORDERED=order is not None,
        BIASED=bias is not None,
        **_options(x.dtype),
    )
    return y


def _options(dtype: torch.dtype) -> dict[str, object]:
    # The interpreter multiplies the bit patterns of bf16.
    wide = INTERPRETED and dtype != torch.float32
    precision = "tf32x3" if dtype == torch.float32 else "tf32"
    return {"PRECISION": precision, "WIDEN": wide, "STAGES": 3}


def _piece(side: int) -> int:
    """The largest power of two that divides a block's side, as far as registers allow."""
    return min(WIDEST, side & -side)


def _dense_rows(x: Tensor) -> Tensor:
    return x if x.stride(1) == 1 and x.stride(0) >= 0 else x.contiguous()


def _check(name: str, x: Tensor, columns: int, like: Tensor) -> None:
    """Raises KernelError before any pointer is taken."""
    if x.dim() != 2 or x.shape[1] != columns or x.dtype != like.dtype or x.device != like.device:
        raise KernelError(
            f"{name} is {tuple(x.shape)} {x.dtype} on {x.device}, "
            f"not (tokens, {columns}) {like.dtype} on {like.device}"
        )
    if x.dtype not in DTYPES or (x.device.type != "cuda" and not INTERPRETED):
        raise KernelError(f"the triton backend cannot serve {x.dtype} on {x.device}: use rows")
