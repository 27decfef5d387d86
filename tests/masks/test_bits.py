"""Masks as bits: packing is exact, whatever the shape."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from prune.masks.bits import Bits


@given(st.lists(st.integers(0, 9), min_size=0, max_size=3), st.integers(0, 99), st.integers(0, 9))
def test_unpacked_is_what_was_packed(shape: list[int], seed: int, start: int) -> None:
    numbers = torch.Generator().manual_seed(seed)
    count = torch.Size(shape).numel()
    whole = torch.randint(0, 2, (start + count,), generator=numbers, dtype=torch.uint8)
    mask = whole[start:].view(shape)  # as a part of a larger tensor, wherever it starts
    bits = Bits(mask)
    assert torch.equal(bits.mask(), mask) and bits.mask().dtype == torch.uint8
    assert bits.codes.nbytes == -(-count // 8)


def test_what_is_laid_out_across_is_packed_as_it_reads() -> None:
    mask = (torch.arange(24).view(4, 6) % 5 == 0).to(torch.uint8).T
    assert torch.equal(Bits(mask).mask(), mask)


def test_packing_loses_nothing_when_the_mask_changes_later() -> None:
    mask = torch.tensor([1, 0, 1], dtype=torch.uint8)
    bits = Bits(mask)
    mask.zero_()
    assert bits.mask().tolist() == [1, 0, 1]
