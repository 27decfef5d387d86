"""Masks of ones and zeros, eight in a byte."""

from typing import final

import numpy as np
import torch
from torch import Tensor


@final
class Bits:
    """A mask of bytes on the CPU, each 0 or 1, in an eighth of its memory."""

    is_cuda = False

    def __init__(self, mask: Tensor) -> None:
        self.shape, self.codes = mask.shape, np.packbits(mask.reshape(-1).numpy())

    def mask(self) -> Tensor:
        """The inverse: the bytes."""
        flat = np.unpackbits(self.codes, count=self.shape.numel())
        return torch.from_numpy(flat).view(self.shape)
