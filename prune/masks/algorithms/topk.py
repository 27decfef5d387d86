"""Movement pruning: keep the groups of highest learned score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from prune.masks.algorithms.base import Algorithm
from prune.masks.algorithms.ranking import count_kept, keep_largest, keep_largest_of


@final
@dataclass(frozen=True)
class TopK(Algorithm):
    """M = 1 for the round(tau n) groups of highest S; tau is the density kept, 1 -> density.

    When to use it: a density is asked for and must be met exactly (Sanh et al. 2020, hard
    movement). Each matrix keeps the same share, unless the policy ranks a whole part together.
    Not to be confused with `sigmoid_threshold`, which finds the share of each matrix itself.
    """

    density: float = 0.5

    ranks: ClassVar[bool] = True

    @property
    def start(self) -> float:
        return 1.0

    @property
    def end(self) -> float:
        return self.density

    def mask(self, scores: Tensor, threshold: float) -> Tensor:
        return keep_largest(scores, count_kept(threshold, scores.numel()))

    def masks(self, parts: Sequence[Tensor], threshold: float) -> list[Tensor]:
        total = sum(part.numel() for part in parts)
        return keep_largest_of(parts, count_kept(threshold, total))
