"""2:4 sparsity: the pattern that the tensor cores of NVIDIA's Ampere and later can skip."""

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, final

import torch
from torch import Tensor

from prune.masks.algorithms.base import Algorithm
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
    geometry: ClassVar[Geometry | None] = Fours()

    @property
    def start(self) -> float:
        return 0.0

    @property
    def end(self) -> float:
        return self.temperature

    def scores_shape(self, groups: tuple[int, int]) -> tuple[int, ...]:
        return groups[0], groups[1] // 4, len(PATTERNS)

    def mask(self, scores: Tensor, threshold: float) -> Tensor:
        return patterns(scores.dtype, scores.device)[scores.argmax(-1)].flatten(1)

    def training_mask(self, scores: Tensor, threshold: float, noise: Tensor | None) -> Tensor:
        shares = torch.softmax(threshold * scores, -1)
        return (shares @ patterns(scores.dtype, scores.device)).flatten(1)


@cache
def patterns(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(6, 4): every way to keep two of four."""
    return torch.tensor(PATTERNS, dtype=dtype, device=device)
