"""L0 regularisation: masks that are zero with a probability that can be learned."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from prune.masks.algorithms.base import Algorithm

LEFT, RIGHT, BETA = -0.1, 1.1, 2 / 3  # the stretch beyond [0, 1], and the temperature


@final
@dataclass(frozen=True)
class L0(Algorithm):
    """M = clip(s (r - l) + l, 0, 1), the hard concrete distribution; real-valued.

    In training s = sigmoid((ln u - ln(1 - u) + S) / beta) with u ~ U(0, 1), and the gradient goes
    through M at the same u; evaluated, s = sigmoid(S), so a group dies at S <= -2.398. There is no
    threshold: the penalty, the probability of M > 0, is the only force. Scores start at 2.197
    (s = 0.9, M = 0.98), as published, so that the first steps see nearly the whole network.

    When to use it: to compare with; it needs long runs (Louizos et al. 2018, arXiv:1712.01312).
    Not to be confused with `sigmoid_threshold`, whose mask is 0 or 1 and not random.
    """

    soft: ClassVar[bool] = True
    noisy: ClassVar[bool] = True
    cuts: ClassVar[bool] = True
    initial: ClassVar[float] = 2.197

    @property
    def start(self) -> float:
        return 0.0

    @property
    def end(self) -> float:
        return 0.0

    def mask(self, scores: Tensor, threshold: float) -> Tensor:
        return _stretched(torch.sigmoid(scores))

    def training_mask(self, scores: Tensor, threshold: float, noise: Tensor | None) -> Tensor:
        assert noise is not None
        return _stretched(torch.sigmoid((noise.log() - (-noise).log1p() + scores) / BETA))

    def presence(self, scores: Tensor) -> Tensor:
        """P(M > 0) = sigmoid(S - beta ln(-l / r))."""
        return torch.sigmoid(scores - BETA * math.log(-LEFT / RIGHT))


def _stretched(s: Tensor) -> Tensor:
    return (s * (RIGHT - LEFT) + LEFT).clamp(0, 1)
