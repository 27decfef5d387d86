"""What every algorithm is: scores in, mask out, and the way of a gradient back."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from prune.kernels.soft_masks import Beside
from prune.masks.geometry import Geometry


@dataclass(frozen=True)
class Moment:
    """What the mask of a training step follows from."""

    scores: Tensor
    offset: float  # subtracted from the scores
    threshold: float
    words: tuple[int, ...]  # what the noise of the step depends on: those of `Noise`
    beside: Beside | None = None  # another mask of the same matrix, if the algorithm pairs


@dataclass(frozen=True)
class Algorithm(ABC):
    """Scores S -> mask M, one value a group: bytes of 0 and 1, or if soft in the scores' dtype.

    The threshold goes from `start` to `end` along the schedule; what it means is the algorithm's.
    """

    learned: ClassVar[bool] = True  # scores are parameters; otherwise they come from the weights
    ranks: ClassVar[bool] = False  # the threshold is the density to keep
    soft: ClassVar[bool] = False  # in training the mask is real-valued and differentiable
    noisy: ClassVar[bool] = False  # in training the mask depends on noise ln u - ln(1 - u)
    penalised: ClassVar[bool] = True  # the penalty pushes its scores down
    initial: ClassVar[float] = 0.0  # where scores start
    cuts: ClassVar[bool] = False  # a group dies below a score, so lowering all scores kills more
    geometry: ClassVar[Geometry | None] = None  # its own, whatever the policy says
    pairs: ClassVar[bool] = False  # `scale` and `pull` can take another mask of the matrix, too
    shift: ClassVar[float] = 0.0  # the penalty's r(S) is the mean of sigmoid(S - shift)

    @property
    @abstractmethod
    def start(self) -> float: ...

    @property
    @abstractmethod
    def end(self) -> float: ...

    @abstractmethod
    def mask(self, scores: Tensor, threshold: float) -> Tensor:
        """S -> M as it is evaluated, saved and shipped."""

    def masks(self, parts: Sequence[Tensor], threshold: float) -> list[Tensor]:
        """`mask` of all parts together, as if they were one tensor."""
        joined = self.mask(torch.cat([part.reshape(-1) for part in parts]), threshold)
        split = torch.split(joined, [part.numel() for part in parts])
        return [mask.view(part.shape) for mask, part in zip(split, parts, strict=True)]

    def training_mask(
        self, scores: Tensor, threshold: float, noise: Tensor | None, out: Tensor | None = None
    ) -> Tensor:
        """S -> M as the forward passes of training see it; `noise` is of the shape of S.

        M is written into `out`, if that is given.
        """
        mask = self.mask(scores, threshold)
        return mask if out is None else out.copy_(mask)

    def scores_shape(self, groups: tuple[int, int]) -> tuple[int, ...]:
        """The shape of S for a mask of shape `groups`."""
        return groups

    def scale(self, at: Moment, weights: Tensor, out: Tensor) -> Tensor | None:
        """out = M * W in one pass, M made on the way; (out,), above 0 where a row lives.

        Of soft algorithms alone, with a group a weight; None if that cannot be done here.
        """
        return None

    def pull(
        self, at: Moment, gradient: Tensor, weights: Tensor, rate: float, out: Tensor
    ) -> Tensor | None:
        """gradient *= M, and the gradient of S from gradient * W, in one pass, where `scale` can.

        With `rate` times the derivative of the penalty; `out`, like the weights, may hold it.
        """
        return None

    def score_gradient(
        self, scores: Tensor, mask: Tensor, mask_gradient: Tensor, threshold: float
    ) -> Tensor:
        """dL/dM -> dL/dS at the training mask M, asked of soft algorithms alone.

        All others are straight-through, as here. It is the derivative of the mask, which autograd
        would take more time for. `mask_gradient` may be overwritten.
        """
        return mask_gradient

    def presence(self, scores: Tensor) -> Tensor:
        """What the penalty averages: sigmoid(S - shift), without a shift that of L1."""
        return torch.sigmoid(scores - self.shift if self.shift else scores)

    def penalty(self, scores: Tensor) -> Tensor:
        """r(S), a mean over groups in [0, 1]."""
        return self.presence(scores).mean()

    def penalty_gradient(self, scores: Tensor) -> Tensor:
        """n dr/dS, of n scores."""
        present = self.presence(scores)
        return torch.addcmul(present, present, present, value=-1)
