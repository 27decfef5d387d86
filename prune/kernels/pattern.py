"""Which blocks of a matrix live: found in its weights, given as a mask, or drawn at random."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from prune.errors import KernelError

Size = tuple[int, int]
USUAL = (64, 32, 16)
AS_GOOD = 1.02  # larger blocks may hold so many times the weights of smaller ones


def cut(shape: Sequence[int], block: Sequence[int]) -> Size:
    """How many blocks (height, width) a matrix (out, in) has. Raises KernelError."""
    if len(block) != 2 or min(block) < 1:
        raise KernelError(f"a block is (height, width), not {tuple(block)}")
    if shape[0] % block[0] or shape[1] % block[1]:
        fitting = [f"{n}x{n}" for n in USUAL if not (shape[0] % n or shape[1] % n)]
        raise KernelError(
            f"blocks of {block[0]}x{block[1]} do not divide {shape[0]}x{shape[1]} "
            f"(these do: {', '.join(fitting) or 'no usual ones; keep the layer dense'})"
        )
    return shape[0] // block[0], shape[1] // block[1]


def random_pattern(grid: Size, density: float) -> Tensor:
    """(R, C) with round(density * R * C) live blocks anywhere."""
    if not 0 <= density <= 1:
        raise KernelError(f"density {density} is not in [0, 1]")
    total = grid[0] * grid[1]
    chosen = torch.randperm(total)[: round(density * total)]
    return torch.zeros(total, dtype=torch.bool).index_fill(0, chosen, True).view(grid)


def pattern_of(weight: Tensor, mask_or_block: Tensor | Sequence[int]) -> Tensor:
    """(R, C) booleans from a block's size, a mask of weights (out, in), or one of blocks (R, C)."""
    if not isinstance(mask_or_block, Tensor):
        return live_blocks(weight != 0, mask_or_block)
    mask = mask_or_block.to(weight.device) != 0
    if mask.dim() == 2 and mask.shape == weight.shape:
        return _largest(mask)
    if mask.dim() != 2 or weight.shape[0] % mask.shape[0] or weight.shape[1] % mask.shape[1]:
        raise KernelError(
            f"a mask {tuple(mask.shape)} fits no blocks of a matrix {tuple(weight.shape)}"
        )
    return mask


def live_blocks(mask: Tensor, block: Sequence[int]) -> Tensor:
    """Blocks in which anything of a mask (out, in) is true: (R, C)."""
    rows, columns = cut(mask.shape, block)
    return mask.view(rows, block[0], columns, block[1]).any(3).any(1)


def suiting(weight: Tensor) -> Size | None:
    """The (height, width), of sides 16, 32 and 64, in which a matrix (out, in) is best stored.

    The largest of those that hold about as few weights as any. None if none divides the matrix.
    """
    least = min(USUAL)
    if weight.shape[0] % least or weight.shape[1] % least:
        return None
    fine = live_blocks(weight != 0, (least, least))
    held = {}
    for size in itertools.product(USUAL, USUAL):
        if not (weight.shape[0] % size[0] or weight.shape[1] % size[1]):
            blocks = live_blocks(fine, (size[0] // least, size[1] // least))
            held[size] = int(blocks.sum()) * size[0] * size[1]
    good = [size for size, count in held.items() if count <= AS_GOOD * min(held.values())]
    return max(good, key=lambda size: (size[0] * size[1], min(size)))


def _largest(mask: Tensor) -> Tensor:
    """The pattern of the largest usual blocks that a mask (out, in) is made of."""
    for side in USUAL:
        if mask.shape[0] % side or mask.shape[1] % side:
            continue
        pattern = live_blocks(mask, (side, side))
        if torch.equal(pattern.repeat_interleave(side, 0).repeat_interleave(side, 1), mask):
            return pattern
    raise KernelError(
        f"the mask is not made of blocks of {' or '.join(map(str, reversed(USUAL)))}: "
        "give the block's size, and live blocks keep their zeros"
    )
