"""A Cut is where a matrix and a tensor of scores meet: one mask of one matrix.

A matrix has one of them, or two where the pattern of `ampere` multiplies another mask; a Tie
(prune/masks/groups.py) has as many as matrices share its scores.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from prune.kernels import masking, soft_masks
from prune.kernels.later import Later
from prune.masks.groups import Tie
from prune.masks.policy import Site

if TYPE_CHECKING:
    from prune.masks.slots import Slot


class Cut:
    """One mask of one matrix: M in the layout of the scores, seen in the layout of the matrix."""

    tie: Tie

    def __init__(self, site: Site, slot: "Slot") -> None:
        self.site = site
        self.slot = slot
        self.pulled: Tensor | None = None  # dL/dM, (R, C) of the grid

    def as_scores(self, groups: Tensor) -> Tensor:
        """A tensor over the grid's groups, in the layout of the (perhaps shared) mask."""
        return groups.T if self.site.flipped else groups

    def groups(self, mask: Tensor) -> Tensor:
        """The mask of the tie as (R, C) of the grid."""
        return mask.T if self.site.flipped else mask

    def sizes(self) -> Tensor:
        """The sum of |W| in each group, in the layout of the scores."""
        grid, weights = self.site.grid, self.slot.full_matrix()
        sums = masking.sizes(weights, (grid.rows, grid.columns))
        return self.as_scores(grid.sum_sizes(weights) if sums is None else sums)

    def scale(self, weights: Tensor, mask: Tensor, out: Tensor, later: Later | None = None) -> None:
        """out = M * weights, perhaps later; all are (out, in), and `out` may be `weights`."""
        grid, groups = self.site.grid, self.groups(mask)
        if not masking.scale(weights, groups, (grid.rows, grid.columns), out, later):
            torch.mul(grid.cells(weights), grid.spread(groups), out=grid.cells(out))

    def beside(self) -> soft_masks.Beside:
        """This mask for a pass that makes the other one of the matrix."""
        grid = self.site.grid
        return soft_masks.Beside(self.groups(self.tie.make()), (grid.rows, grid.columns))

    def spread(self, mask: Tensor, out: Tensor) -> None:
        """out = M, (out, in)."""
        grid = self.site.grid
        grid.cells(out).copy_(grid.spread(self.groups(mask)))
