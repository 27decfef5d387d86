"""Where the live blocks of a matrix lie, as one flat int32 tensor; and blocks to matrix and back.

A weight (out, in) is cut into R x C blocks of (height, width). The live ones are stored in the
order of their block rows as `values` (live, width, height): each the transpose of its piece, for
the product reads a block input by input, and then all its outputs at once. The index holds, one
after another,

    row_start     (R + 1,)    the blocks of block row i are row_start[i] ... row_start[i + 1] - 1
    column_of     (live,)     the block column of each
    column_start  (C + 1,)    the same list by block columns, which the input gradient reads:
    row_of        (live,)     the block row of each,
    order         (live,)     and where it lies in `values`

so that it moves between devices, and into an operator, as one tensor.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from prune.errors import KernelError


@dataclass(frozen=True)
class Layout:
    """The index of a matrix of `rows` x `columns` blocks, and its parts as views."""

    index: Tensor
    rows: int
    columns: int

    @property
    def live(self) -> int:
        """How many blocks are stored."""
        return (self.index.numel() - self.rows - self.columns - 2) // 3

    @property
    def density(self) -> float:
        """Share of the blocks that are stored."""
        return self.live / max(1, self.rows * self.columns)

    @property
    def row_start(self) -> Tensor:
        return self.index[: self.rows + 1]

    @property
    def column_of(self) -> Tensor:
        return self.index[self.rows + 1 :][: self.live]

    @property
    def column_start(self) -> Tensor:
        return self.index[self.rows + 1 + self.live :][: self.columns + 1]

    @property
    def row_of(self) -> Tensor:
        return self.index[self.index.numel() - 2 * self.live :][: self.live]

    @property
    def order(self) -> Tensor:
        return self.index[self.index.numel() - self.live :]

    @classmethod
    def of(cls, pattern: Tensor) -> Self:
        """The layout of a boolean pattern (R, C), on its device."""
        rows, columns = pattern.shape
        if rows * columns >= 2**31:
            raise KernelError(f"{rows} x {columns} blocks are too many for 32-bit indexes")
        row_of, column_of = pattern.nonzero(as_tuple=True)
        order = (column_of * rows + row_of).argsort()
        parts = [
            starts(pattern.sum(1)),
            column_of,
            starts(pattern.sum(0)),
            row_of[order],
            order,
        ]
        return cls(torch.cat(parts).int(), rows, columns)

    def pattern(self) -> Tensor:
        """(R, C) booleans: the inverse of `of`."""
        found = torch.zeros(self.rows, self.columns, dtype=torch.bool, device=self.index.device)
        numbers = torch.arange(self.rows, device=self.index.device)
        found[numbers.repeat_interleave(self.row_start.diff()), self.column_of.long()] = True
        return found

    def block_rows(self) -> Tensor:
        """(live,) the block row of each block, in the order of `values`."""
        rows: Tensor = self.row_of.long()
        return rows.scatter(0, self.order.long(), rows)

    def check(self) -> None:
        """Raises KernelError if the index is not one that `of` makes (a damaged file)."""
        whole = self.index.numel() >= self.rows + self.columns + 2 and self.index.dim() == 1
        if whole and self.index.dtype == torch.int32 and self._sound():
            return
        raise KernelError(
            f"the block index does not describe {self.rows} x {self.columns} blocks: "
            "the file is damaged or of another layer; make the layer again with from_linear"
        )

    def _sound(self) -> bool:
        start, columns = self.row_start, self.column_of
        if int(start[0]) or int(start[-1]) != self.live or bool((start.diff() < 0).any()):
            return False
        if self.live and not 0 <= int(columns.min()) <= int(columns.max()) < self.columns:
            return False
        return torch.equal(Layout.of(self.pattern()).index, self.index)


def starts(counts: Tensor) -> Tensor:
    """(n,) lengths of lists -> (n + 1,) where each begins, and the end."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def to_values(weight: Tensor, layout: Layout) -> Tensor:
    """The live blocks of `weight` (out, in) as (live, width, height), contiguous."""
    height, width = weight.shape[0] // layout.rows, weight.shape[1] // layout.columns
    cut = weight.reshape(layout.rows, height, layout.columns, width).permute(0, 2, 3, 1)
    values: Tensor = cut[layout.block_rows(), layout.column_of.long()]
    return values.contiguous()


def to_weight(values: Tensor, layout: Layout) -> Tensor:
    """The matrix (out, in) with zeros between its live blocks: the inverse of `to_values`."""
    _, width, height = values.shape
    weight = values.new_zeros(layout.rows, height, layout.columns, width)
    # The indexed axes are not side by side, so those of the values come first: (live, h, w).
    weight[layout.block_rows(), :, layout.column_of.long()] = values.transpose(1, 2)
    return weight.view(layout.rows * height, layout.columns * width)
