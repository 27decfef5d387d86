"""What the algorithms share that keep a given number of groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from prune.masks.algorithms.base import Algorithm
from prune.masks.algorithms.ranking import count_kept, keep_largest, keep_largest_of


@dataclass(frozen=True)
class Ranked(Algorithm):
    """M = 1 for the round(tau n) groups of highest importance; tau goes from 1 to `density`."""

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
