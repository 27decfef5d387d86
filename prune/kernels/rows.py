"""The backend in plain PyTorch: for each block row, gather the inputs it reads, and multiply.

Nothing to install; ties with a dense product near density 0.5 in fp32 on a CPU. Tokens go in tiles,
so that a tile's blocks, cut apart once, stay in the cache while all block rows read them.
"""

import torch
from torch import Tensor

from prune.kernels.layout import Layout

TILE = 256  # tokens


def product(x: Tensor, values: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """y = x W' + b. x: (tokens, in) -> (tokens, out)."""
    out = _gathered(x, values, layout.row_start, layout.column_of, layout.columns)
    return out if bias is None else out.add_(bias)


def transposed(grad: Tensor, values: Tensor, layout: Layout) -> Tensor:
    """dL/dx = dL/dy W. grad: (tokens, out) -> (tokens, in)."""
    blocks = values.index_select(0, layout.order).transpose(1, 2)  # (live, height, width)
    return _gathered(grad, blocks, layout.column_start, layout.row_of, layout.rows)


def sampled(grad: Tensor, x: Tensor, size: tuple[int, int], layout: Layout) -> Tensor:
    """dL/dW = dL/dy' x at the live blocks. size: (height, width) -> (live, width, height)."""
    height, width = size
    out = x.new_empty(layout.live, width, height)
    start = layout.row_start.tolist()
    for row in range(layout.rows):
        first, last = start[row], start[row + 1]
        if first == last:
            continue
        units = x.view(len(x), layout.columns, width).index_select(1, layout.column_of[first:last])
        piece = grad[:, row * height : (row + 1) * height]
        out[first:last] = (units.flatten(1).T @ piece).view(-1, width, height)
    return out


def _gathered(x: Tensor, values: Tensor, start: Tensor, other: Tensor, blocks_read: int) -> Tensor:
    """x: (tokens, blocks_read * depth); values (live, depth, size) -> (tokens, lists * size)."""
    depth, size = values.shape[1:]
    begin = start.tolist()
    lists = len(begin) - 1
    out = x.new_zeros(len(x), lists * size)
    for tile in range(0, len(x), TILE):
        part = x[tile : tile + TILE].reshape(-1, blocks_read, depth)
        for number in range(lists):
            first, last = begin[number], begin[number + 1]
            if first < last:
                units = part.index_select(1, other[first:last]).flatten(1)
                blocks = values[first:last].reshape(-1, size)
                place = out[tile : tile + TILE, number * size : (number + 1) * size]
                torch.mm(units, blocks, out=place)
    return out
