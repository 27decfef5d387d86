"""Geometries for a fused matrix, whose rows are several matrices of one shape, one after another.

A query, key and value in one (Wqkv) have groups of their own: no group may reach over two of them.
A gate and an inner matrix in one (Wi) that share their scores live and die together.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from prune.masks.geometry import Geometry, Grid


def of_slices(geometry: Geometry, slices: int, together: bool = False) -> Geometry:
    """`geometry` for a matrix of `slices` slices; `together`: one group has a cell in each."""
    if slices == 1:
        return geometry
    return Stacked(geometry, slices) if together else Sliced(geometry, slices)


@final
@dataclass(frozen=True)
class Sliced(Geometry):
    """Each slice is cut as a matrix of its own."""

    inside: Geometry
    slices: int

    def cut(self, shape: tuple[int, int], head_size: int | None) -> Grid | None:
        return self.inside.cut((shape[0] // self.slices, shape[1]), head_size)

    def __str__(self) -> str:
        return str(self.inside)


@final
@dataclass(frozen=True)
class Stacked(Geometry):
    """The slices lie on one another: a group has its cells in all of them."""

    inside: Geometry
    slices: int

    def cut(self, shape: tuple[int, int], head_size: int | None) -> Grid | None:
        grid = self.inside.cut((shape[0] // self.slices, shape[1]), head_size)
        return grid and StackedGrid(grid.rows, grid.columns, self.slices)

    def __str__(self) -> str:
        return str(self.inside)


@final
@dataclass(frozen=True)
class StackedGrid(Grid):
    """Groups of `rows` x `columns` weights in each of the slices."""

    slices: int

    def shape(self, matrix: tuple[int, int]) -> tuple[int, int]:
        return matrix[0] // self.rows // self.slices, matrix[1] // self.columns

    @property
    def size(self) -> int:
        return self.rows * self.columns * self.slices

    def cells(self, matrix: Tensor) -> Tensor:
        """The (out, in) matrix as a view (slices, R, rows, C, columns)."""
        columns = matrix.shape[1]
        return matrix.view(self.slices, -1, self.rows, columns // self.columns, self.columns)

    def sum(self, matrix: Tensor) -> Tensor:
        return self.cells(matrix).sum((0, 2, 4))

    def spread(self, groups: Tensor) -> Tensor:
        return groups[None, :, None, :, None]

    def live_rows(self, mask: Tensor) -> Tensor:
        return torch.cat([Grid.live_rows(self, mask)] * self.slices)
