"""Noise is logistic, and what was drawn can be drawn again."""

import numpy as np
import pytest
import torch

from prune.masks.noise import Noise, levels

NUMBERS = torch.empty(100_003)


def test_it_is_ln_u_less_ln_of_the_rest_with_u_uniform() -> None:
    u = torch.sigmoid(Noise(0, 1, 2).like(NUMBERS)).sort().values
    expected = (torch.arange(len(u)) + 0.5) / len(u)
    assert (u - expected).abs().max() < 0.006  # Kolmogorov and Smirnov: 0.1 % of the time above
    assert torch.all(torch.isfinite(Noise(0, 1, 2).like(NUMBERS)))


def test_neighbours_and_keys_are_independent() -> None:
    noise = Noise(0, 1, 2)
    first, second = noise.like(NUMBERS), noise.like(NUMBERS, len(NUMBERS))
    others = [second, Noise(0, 2, 2).like(NUMBERS), Noise(1, 1, 2).like(NUMBERS), first.roll(1)]
    for other in others:
        assert torch.corrcoef(torch.stack([first, other]))[0, 1].abs() < 0.015


def test_the_same_key_gives_the_same_noise_place_by_place() -> None:
    whole = Noise(-7, 1, 2).like(NUMBERS)
    assert torch.equal(Noise(-7, 1, 2).like(NUMBERS[:1001], first=500), whole[500:1501])
    double = Noise(-7, 1, 2).like(NUMBERS.double())
    assert torch.equal(double.float(), whole)


@pytest.mark.parametrize("bit", range(32))
def test_a_bit_of_the_key_changes_half_of_the_bits(bit: int) -> None:
    words = 123456789, 987654321
    before, after = levels(words, 0, 1 << 14), levels((words[0] ^ 1 << bit, words[1]), 0, 1 << 14)
    assert np.bitwise_count(after ^ before).mean() == pytest.approx(8, abs=0.5)
