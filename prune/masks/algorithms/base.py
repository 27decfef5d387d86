"""What every algorithm is: group scores in, mask out, and the way of a gradient back."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Algorithm(ABC):
    """Scores S of any shape -> mask M of that shape.

    The threshold goes from `start` to `end` along the schedule; what it means is the algorithm's.
    """

    learned: ClassVar[bool] = True  # scores are parameters; otherwise they come from the weights
    ranks: ClassVar[bool] = False  # the threshold is the density to keep

    @property
    @abstractmethod
    def start(self) -> float: ...

    @property
    @abstractmethod
    def end(self) -> float: ...

    @abstractmethod
    def mask(self, scores: Tensor, threshold: float) -> Tensor:
        """S -> M, boolean."""

    def score_gradient(self, scores: Tensor, mask_gradient: Tensor) -> Tensor:
        """dL/dM -> dL/dS; straight-through unless the mask is differentiable."""
        return mask_gradient

    def penalty(self, scores: Tensor) -> Tensor:
        """r(S), a mean over groups in [0, 1]: the L1 penalty on sigmoid(S)."""
        return torch.sigmoid(scores).mean()

    def penalty_gradient(self, scores: Tensor) -> Tensor:
        """dr/dS."""
        live = torch.sigmoid(scores)
        return live * (1 - live) / scores.numel()
