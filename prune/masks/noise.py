"""Noise that can be drawn again: a function of seed, step and place, so that resume is exact."""

from functools import cache
from typing import final

import numpy as np
import torch
from torch import Tensor

LEVELS = 1 << 16  # of u on a CPU: (k + 1/2) / 65536


@final
class Noise:
    """ln u - ln(1 - u) with u ~ U(0, 1), the logistic distribution, piece by piece, for a key."""

    def __init__(self, *key: int) -> None:
        self.start = np.random.SeedSequence([number % 2**63 for number in key])
        self.words = np.random.SFC64(self.start)
        self.source: torch.Generator | None = None

    def like(self, tensor: Tensor) -> Tensor:
        """The next piece, in the shape, dtype and place of `tensor`."""
        return logistic(self.drawn(tensor), tensor.dtype)

    def drawn(self, tensor: Tensor) -> Tensor:
        """The next piece as it was drawn: on a CPU levels (int16), each as likely as the others."""
        if tensor.device.type != "cpu":
            return self._on(tensor)
        # Sixteen raw bits choose a quantile: a uniform number and two logarithms take three times
        # as long.
        words = self.words.random_raw((tensor.numel() + 3) // 4).view(np.int16)
        return torch.from_numpy(words[: tensor.numel()]).view(tensor.shape)

    def _on(self, tensor: Tensor) -> Tensor:
        if self.source is None:
            self.source = torch.Generator(tensor.device)
            self.source.manual_seed(int(self.start.generate_state(1, np.uint64)[0] >> 1))
        return torch.empty_like(tensor).uniform_(generator=self.source).logit_()


def logistic(drawn: Tensor, dtype: torch.dtype) -> Tensor:
    """What `Noise.drawn` gave, as numbers."""
    if drawn.dtype != torch.int16:
        return drawn
    level = drawn.reshape(-1).int().add_(LEVELS // 2)
    return quantiles(dtype).index_select(0, level).view(drawn.shape)


@cache
def quantiles(dtype: torch.dtype) -> Tensor:
    """(LEVELS,), of the logistic distribution."""
    u = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    return torch.logit(u).to(dtype)
