"""Noise that can be drawn again: a function of seed, step and place, so that resume is exact."""

from functools import cache, lru_cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from prune.kernels.llvm.concrete_ir import LEVELS, MIX


@final
class Noise:
    """ln u - ln(1 - u) with u ~ U(0, 1), the logistic distribution, place by place, for a key."""

    def __init__(self, *key: int) -> None:
        self.words = words_of(*key)

    def like(self, tensor: Tensor, first: int = 0) -> Tensor:
        """In the shape, dtype and place of `tensor`, whose first number is at that place.

        Away from a CPU it is drawn in one piece, from the first place on.
        """
        if tensor.device.type != "cpu":
            return self._on(tensor)
        # Sixteen bits choose a quantile: a uniform number and two logarithms take longer.
        level = torch.from_numpy(levels(self.words, first, tensor.numel()))
        return quantiles(tensor.dtype).index_select(0, level).view(tensor.shape)

    def _on(self, tensor: Tensor) -> Tensor:
        source = torch.Generator(tensor.device)
        source.manual_seed(self.words[0] << 32 | self.words[1])
        return torch.empty_like(tensor).uniform_(generator=source).logit_()


@lru_cache(1 << 12)  # asked for twice a step: for the mask, and for its gradient
def words_of(*key: int) -> tuple[int, ...]:
    """Two of 32 bits that are as good as independent of those of any other key."""
    start = np.random.SeedSequence([number % 2**63 for number in key])
    return tuple(int(word) for word in start.generate_state(2))


def levels(words: tuple[int, ...], first: int, count: int) -> Any:
    """Numbers below LEVELS, each as likely as the others: a hash of place and words.

    Places in steps that depend on the key, then the mixer `lowbias32` of C. Wellons, 2018. The
    kernel of prune/kernels/llvm/concrete_ir.py computes the same.
    """
    x = np.arange(first, first + count, dtype=np.uint32)
    x *= np.uint32(words[1] | 1)
    x += np.uint32(words[0])
    x ^= x >> 16
    x *= np.uint32(MIX[0])
    x ^= x >> 15
    x *= np.uint32(MIX[1])
    return (x >> 16).view(np.int32)


@cache
def quantiles(dtype: torch.dtype) -> Tensor:
    """(LEVELS,), of the logistic distribution."""
    u = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    return torch.logit(u).to(dtype)
