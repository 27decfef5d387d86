"""Hard movement pruning with a cut-off on the raw score."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from prune.masks.algorithms.base import Algorithm
from prune.masks.algorithms.floor import above_with_floor


@final
@dataclass(frozen=True)
class Threshold(Algorithm):
    """M = (S > tau); tau is a cut-off on the raw score, -> `cutoff`.

    When to use it: movement as in Sanh et al. 2020 without a fixed share for each matrix. Scores
    start at 0, so the ramp starts just below it. Not to be confused with `sigmoid_threshold`,
    whose cut-off is on sigmoid(S) and lies in [0, 1].
    """

    cutoff: float = 0.1
    min_density: float = 0.005  # of each matrix, ties included

    cuts: ClassVar[bool] = True

    @property
    def start(self) -> float:
        return -0.1

    @property
    def end(self) -> float:
        return self.cutoff

    def mask(self, scores: Tensor, threshold: float) -> Tensor:
        return above_with_floor(scores, threshold, self.min_density)
