"""Soft movement pruning: a cut-off on sigmoid(S), and a penalty that pushes the scores down."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from prune.masks.algorithms.base import Algorithm
from prune.masks.algorithms.floor import above_with_floor


@final
@dataclass(frozen=True)
class SigmoidThreshold(Algorithm):
    """M = (sigmoid(S) > tau); tau is a cut-off in [0, 1], 0 -> 0.1, so a group dies at S <= -2.197.

    When to use it: the best results of Sanh et al. 2020 and Lagunas et al. 2021; the penalty weight
    decides how much is left, and each matrix finds its own share. Not to be confused with
    `threshold`, whose cut-off is on S itself.
    """

    cutoff: float = 0.1
    min_density: float = 0.005  # of each matrix, ties included

    cuts: ClassVar[bool] = True

    @property
    def start(self) -> float:
        return 0.0

    @property
    def end(self) -> float:
        return self.cutoff

    def mask(self, scores: Tensor, threshold: float) -> Tensor:
        # The same as of sigmoid(S) and the threshold, without a sigmoid of each score.
        cut = torch.tensor(threshold, dtype=torch.float64).logit().item()
        return above_with_floor(scores, cut, self.min_density)
