"""L0 regularisation: masks that are zero with a probability that can be learned."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from prune.kernels import soft_masks
from prune.kernels.llvm.concrete_ir import Concrete
from prune.masks.algorithms.base import Algorithm, Moment

LEFT, RIGHT, BETA = -0.1, 1.1, 2 / 3  # the stretch beyond [0, 1], and the temperature
EDGE = 1e-6  # M that is so near to 0 or 1 counts as there: nothing flows
# With M = s (r - l) + l, (r - l)^2 s (1 - s) is c - (M - 1/2)^2, and c is:
MOST = (RIGHT - LEFT) ** 2 / 4
PER_SCORE = 1 / ((RIGHT - LEFT) * BETA)
SLOPE = MOST * PER_SCORE, PER_SCORE, (MOST - 0.25 + EDGE) * PER_SCORE  # most, falls, edge


@final
@dataclass(frozen=True)
class L0(Algorithm):
    """M = clip(s (r - l) + l, 0, 1), the hard concrete distribution; real-valued.

    In training s = sigmoid((ln u - ln(1 - u) + S) / beta) with u ~ U(0, 1), drawn anew for each
    step, and the gradient goes through M at the same u; evaluated, s = sigmoid(S), so a group dies
    at S <= -2.398. There is no threshold: the penalty, the probability of M > 0, is the only force.
    Scores start at 2.197 (s = 0.9, M = 0.98), as published, so that the first steps see nearly the
    whole network.

    When to use it: to compare with; it needs long runs (Louizos et al. 2018, arXiv:1712.01312).
    Not to be confused with `sigmoid_threshold`, whose mask is 0 or 1 and not random.
    """

    soft: ClassVar[bool] = True
    noisy: ClassVar[bool] = True
    cuts: ClassVar[bool] = True
    initial: ClassVar[float] = 2.197
    shift: ClassVar[float] = BETA * math.log(-LEFT / RIGHT)  # the penalty averages P(M > 0)

    @property
    def start(self) -> float:
        return 0.0

    @property
    def end(self) -> float:
        return 0.0

    def mask(self, scores: Tensor, threshold: float) -> Tensor:
        return _stretched(torch.sigmoid(scores))

    def training_mask(
        self, scores: Tensor, threshold: float, noise: Tensor | None, out: Tensor | None = None
    ) -> Tensor:
        assert noise is not None
        return _stretched(torch.add(scores, noise, out=out).mul_(1 / BETA).sigmoid_(), out)

    def scale(self, at: Moment, weights: Tensor, out: Tensor) -> Tensor | None:
        return soft_masks.concrete_scale(CONCRETE, at.scores, at.offset, at.words, weights, out)

    def pull(
        self, at: Moment, gradient: Tensor, weights: Tensor, rate: float, out: Tensor
    ) -> Tensor | None:
        given = at.scores, at.offset, at.words, gradient, weights, rate, out
        return soft_masks.concrete_pull(CONCRETE, *given)

    def score_gradient(
        self, scores: Tensor, mask: Tensor, mask_gradient: Tensor, threshold: float
    ) -> Tensor:
        """dM/dS = (r - l) s (1 - s) / beta where 0 < M < 1; M says what s was."""
        most, falls, edge = SLOPE
        off = torch.sub(mask, 0.5)
        slope = torch.addcmul(off.new_tensor(most), off, off, value=-falls)
        return mask_gradient.mul_(torch.threshold_(slope, edge, 0.0))


def _stretched(s: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.mul(s, RIGHT - LEFT, out=out).add_(LEFT).clamp_(0, 1)


CONCRETE = Concrete(LEFT, RIGHT, SLOPE, L0.shift)
