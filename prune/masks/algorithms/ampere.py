"""2:4 sparsity: the pattern that the tensor cores of NVIDIA's Ampere and later can skip."""

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, final

import torch
from torch import Tensor

from prune.kernels import soft_masks
from prune.masks.algorithms.base import Algorithm, Moment
from prune.masks.geometry import Fours, Geometry

PATTERNS = ((1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1), (0, 1, 1, 0), (0, 1, 0, 1), (0, 0, 1, 1))


@final
@dataclass(frozen=True)
class Ampere(Algorithm):
    """M = softmax(T S) @ patterns: 2 of every 4 consecutive weights along the input axis.

    Each four has six scores, one a pattern. The threshold is the temperature T, 0 -> `temperature`:
    first all patterns count the same (M = 0.5), then one of them more and more. Evaluated, and at
    the end, M is the pattern of the highest score, so the density is 0.5. No penalty acts on it.

    When to use it: for GPUs with sparse tensor cores (Mishra et al. 2021, arXiv:2104.08378), alone
    or times any other mask of the same matrix. Not to be confused with blocks of 1x4, which live or
    die whole.
    """

    temperature: float = 20.0

    soft: ClassVar[bool] = True
    penalised: ClassVar[bool] = False
    pairs: ClassVar[bool] = True
    geometry: ClassVar[Geometry | None] = Fours()

    @property
    def start(self) -> float:
        return 0.0

    @property
    def end(self) -> float:
        return self.temperature

    def scores_shape(self, groups: tuple[int, int]) -> tuple[int, ...]:
        # Pattern by pattern: a softmax over the last axis of six takes twelve times as long.
        return len(PATTERNS), groups[0], groups[1] // 4

    def mask(self, scores: Tensor, threshold: float) -> Tensor:
        return patterns(scores.dtype, scores.device)[scores.argmax(0)].flatten(1)

    def training_mask(
        self, scores: Tensor, threshold: float, noise: Tensor | None, out: Tensor | None = None
    ) -> Tensor:
        if out is not None and soft_masks.softmax(PATTERNS, scores, threshold, out) is out:
            return out
        shares = torch.softmax(threshold * scores, 0).flatten(1)
        places = patterns(scores.dtype, scores.device).T @ shares
        mask = places.view(4, *scores.shape[1:]).permute(1, 2, 0)
        if out is None:
            return mask.flatten(1)
        out.view(mask.shape).copy_(mask)
        return out

    def scale(self, at: Moment, weights: Tensor, out: Tensor) -> Tensor | None:
        given = at.scores, at.threshold, weights, out, at.beside
        scaled = soft_masks.softmax_scale(PATTERNS, *given)
        return None if scaled is None else out.new_ones(len(out))

    def pull(
        self, at: Moment, gradient: Tensor, weights: Tensor, rate: float, out: Tensor
    ) -> Tensor | None:
        given = at.scores, at.threshold, gradient, weights, at.beside
        return soft_masks.softmax_pull(PATTERNS, *given)

    def score_gradient(
        self, scores: Tensor, mask: Tensor, mask_gradient: Tensor, threshold: float
    ) -> Tensor:
        """dL/dS_p = T share_p (g_p - sum over q of share_q g_q), g_p = sum of dL/dM over p."""
        fused = soft_masks.softmax_back(PATTERNS, scores, threshold, mask_gradient)
        if fused is not None:
            return fused
        shares = torch.softmax(threshold * scores, 0)
        of_patterns = threshold * patterns(scores.dtype, scores.device)
        gradient = (of_patterns @ mask_gradient.reshape(-1, 4).T).view_as(scores)
        return torch._softmax_backward_data(gradient, shares, 0, shares.dtype)


@cache
def patterns(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(6, 4): every way to keep two of four."""
    return torch.tensor(PATTERNS, dtype=dtype, device=device)
