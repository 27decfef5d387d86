"""How a weight matrix is cut into groups that live or die together.

A geometry (Block, Rows, Columns, Heads) is a choice; a Grid is that choice made for one matrix.
Matrices are (out, in). A `flipped` matrix (the attention output, the second FFN matrix) is cut as
its transpose would be, so that one head or one neuron means the same group on both sides.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from torch import Tensor

SHORT = 32  # a run of columns below this is too short for a processor's vectors
PIECE = 1 << 18  # weights of a matrix that are worked on at once, on a CPU


@dataclass(frozen=True)
class Grid:
    """A matrix (out, in) in groups of `rows` x `columns` weights; group tensors are (R, C)."""

    rows: int
    columns: int

    def shape(self, matrix: tuple[int, int]) -> tuple[int, int]:
        return matrix[0] // self.rows, matrix[1] // self.columns

    @property
    def size(self) -> int:
        """Weights in one group."""
        return self.rows * self.columns

    def cells(self, matrix: Tensor) -> Tensor:
        """The (out, in) matrix as a view (R, rows, C, columns)."""
        rows, columns = matrix.shape
        return matrix.view(rows // self.rows, self.rows, columns // self.columns, self.columns)

    def sum(self, matrix: Tensor) -> Tensor:
        """(out, in) -> (R, C), the sum of each group."""
        if self.size == 1:
            return matrix
        if self.columns == matrix.shape[1]:
            return matrix.sum(1).view(-1, self.rows).sum(1, keepdim=True)
        if self.rows == 1:
            return self.cells(matrix).sum((1, 3))
        return self.cells(matrix).sum(1).sum(2)  # the long way first: it reads in order

    def sum_sizes(self, matrix: Tensor) -> Tensor:
        """(out, in) -> (R, C), the sum of |W| in each group.

        On a CPU in pieces of rows, so that |W| stays in the cache and needs no memory of its own.
        """
        if self.size == 1:
            return matrix.abs()
        rows, columns = matrix.shape
        one = self.rows == rows  # group from top to bottom: it may be cut, too
        unit = 1 if one else self.rows
        step = max(1, PIECE // (columns * unit)) * unit
        if not matrix.is_cpu or step >= rows:
            return self.sum(matrix.abs())
        if one:
            parts = [replace(self, rows=len(p)).sum(p.abs()) for p in torch.split(matrix, step)]
            return torch.cat(parts).sum(0, keepdim=True)
        return torch.cat([self.sum(piece.abs()) for piece in torch.split(matrix, step)])

    def spread(self, groups: Tensor) -> Tensor:
        """(R, C) -> a tensor that broadcasts against `cells(matrix)`."""
        cells = groups[:, None, :, None]
        if self.rows > 1 and 1 < self.columns < SHORT:
            return cells.expand(-1, -1, -1, self.columns).contiguous()
        return cells

    def live_rows(self, mask: Tensor) -> Tensor:
        """M (R, C) -> (out,): 1 where a row of the matrix has any live weight, else 0."""
        alive = (mask.amax(1) > 0).to(mask.dtype)
        return alive.repeat_interleave(self.rows) if self.rows > 1 else alive


class Geometry(ABC):
    """How to cut any matrix. Add one: a final class with `cut` and a line in `GEOMETRIES`."""

    whole: ClassVar[bool] = True  # counts input features, not single columns (on a convolution)

    @abstractmethod
    def cut(self, shape: tuple[int, int], head_size: int | None) -> Grid | None:
        """The grid for an (out, in) matrix as if it were not flipped; None if it does not fit."""

    def grid(
        self, shape: tuple[int, int], head_size: int | None, flipped: bool, per_input: int = 1
    ) -> Grid | None:
        """The grid for an (out, in) matrix with `per_input` columns for each input feature."""
        unit = per_input if self.whole else 1
        rows, columns = shape[0], shape[1] // unit
        grid = self.cut((columns, rows) if flipped else (rows, columns), head_size)
        if grid is None or (unit == 1 and not flipped):
            return grid
        if flipped:
            return Grid(grid.columns, grid.rows * unit)
        return Grid(grid.rows, grid.columns * unit)


@final
@dataclass(frozen=True)
class Block(Geometry):
    """Blocks of `rows` x `columns`; 1x1 is unstructured, one row can be the whole of `in`."""

    rows: int
    columns: int

    whole: ClassVar[bool] = False

    def cut(self, shape: tuple[int, int], head_size: int | None) -> Grid | None:
        fits = shape[0] % self.rows == 0 and shape[1] % self.columns == 0
        return Grid(self.rows, self.columns) if fits else None

    def __str__(self) -> str:
        return f"blocks {self.rows}x{self.columns}"


@final
@dataclass(frozen=True)
class Rows(Geometry):
    """Whole rows: the neurons a matrix produces (on a flipped matrix: those it reads)."""

    def cut(self, shape: tuple[int, int], head_size: int | None) -> Grid | None:
        return Grid(1, shape[1])

    def __str__(self) -> str:
        return "neurons"


@final
@dataclass(frozen=True)
class Columns(Geometry):
    """Whole columns: the features a matrix reads."""

    def cut(self, shape: tuple[int, int], head_size: int | None) -> Grid | None:
        return Grid(shape[0], 1)

    def __str__(self) -> str:
        return "columns"


@final
@dataclass(frozen=True)
class Heads(Geometry):
    """Whole attention heads. Not to be confused with Block(head_size, ...), a part of one."""

    def cut(self, shape: tuple[int, int], head_size: int | None) -> Grid | None:
        if head_size is None or shape[0] % head_size:
            return None
        return Grid(head_size, shape[1])

    def __str__(self) -> str:
        return "heads"


@final
@dataclass(frozen=True)
class Fours(Geometry):
    """Single weights, four by four along the input axis, whichever way the rest is cut."""

    whole: ClassVar[bool] = False

    def cut(self, shape: tuple[int, int], head_size: int | None) -> Grid | None:
        return Grid(1, 1) if shape[1] % 4 == 0 else None

    def __str__(self) -> str:
        return "2 of 4 weights"


def blocks_that_fit(size: int) -> str:
    """The block sizes that divide a side of `size`: powers of two up to 64, and the whole."""
    fitting = [str(b) for b in (1, 2, 4, 8, 16, 32, 64) if size % b == 0 and b < size]
    return ", ".join(fitting) + f" or {size}"
