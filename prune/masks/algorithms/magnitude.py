"""Magnitude pruning: keep the groups whose weights are largest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from prune.masks.algorithms.base import Algorithm
from prune.masks.algorithms.ranking import count_kept, keep_largest, keep_largest_of


@final
@dataclass(frozen=True)
class Magnitude(Algorithm):
    """M = 1 for the round(tau n) groups of largest mean |W|; tau is the density kept, 1 -> density.

    When to use it: the baseline (Han et al. 2015; gradual, Zhu & Gupta 2017), with plenty left.
    No scores are learned, so fine-tuning cannot revive what it never updates into being large.
    Not to be confused with `topk`, which ranks learned scores.
    """

    density: float = 0.5

    learned: ClassVar[bool] = False
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
