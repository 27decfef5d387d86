"""Masks of ones and zeros, eight in a byte."""

from functools import cache
from typing import final

import torch
from torch import Tensor

# The product with eight bytes of 0 or 1, as one number, has them as the bits of its first byte.
GATHER = 0x0102040810204080


@final
class Bits:
    """A mask of bytes, each 0 or 1, in an eighth of its memory."""

    def __init__(self, mask: Tensor) -> None:
        flat = mask.reshape(-1)
        if missing := -flat.numel() % 8:
            flat = torch.nn.functional.pad(flat, (0, missing))
        if flat.storage_offset() % 8:
            flat = flat.clone()
        self.shape, self.codes = mask.shape, _codes(flat.view(torch.int64))

    @property
    def is_cuda(self) -> bool:
        return self.codes.is_cuda

    def mask(self) -> Tensor:
        """The inverse: the bytes."""
        eights = _bytes_of(self.codes.device).index_select(0, self.codes.int())
        return eights.view(torch.uint8)[: self.shape.numel()].view(self.shape)


def _codes(eights: Tensor) -> Tensor:
    # A shift of a signed number keeps its sign: it fits a signed byte.
    return (eights * GATHER).bitwise_right_shift_(56).to(torch.int8).view(torch.uint8)


@cache
def _bytes_of(device: torch.device) -> Tensor:
    """(256,): for each code the eight bytes that it stands for, as one number."""
    every = torch.cartesian_prod(*[torch.tensor([0, 1], dtype=torch.uint8)] * 8)
    eights = every.contiguous().view(torch.int64)[:, 0]
    found = torch.empty_like(eights)
    found[_codes(eights).long()] = eights
    return found.to(device)
