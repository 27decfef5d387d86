"""Noise is logistic, and what was drawn can be drawn again."""

import torch

from prune.masks.noise import Noise

NUMBERS = torch.empty(100_003)


def test_it_is_ln_u_less_ln_of_the_rest_with_u_uniform() -> None:
    u = torch.sigmoid(Noise(0, 1, 2).like(NUMBERS)).sort().values
    expected = (torch.arange(len(u)) + 0.5) / len(u)
    assert (u - expected).abs().max() < 0.006  # Kolmogorov and Smirnov: 0.1 % of the time above
    assert torch.all(torch.isfinite(Noise(0, 1, 2).like(NUMBERS)))


def test_neighbours_and_keys_are_independent() -> None:
    noise = Noise(0, 1, 2)
    first, second = noise.like(NUMBERS), noise.like(NUMBERS)
    others = [second, Noise(0, 2, 2).like(NUMBERS), Noise(1, 1, 2).like(NUMBERS), first.roll(1)]
    for other in others:
        assert torch.corrcoef(torch.stack([first, other]))[0, 1].abs() < 0.015


def test_the_same_key_gives_the_same_noise_in_the_same_pieces() -> None:
    one, two = Noise(-7, 1, 2), Noise(-7, 1, 2)
    for _ in range(2):
        assert torch.equal(one.like(NUMBERS[:1001]), two.like(NUMBERS[:1001]))
    double = Noise(-7, 1, 2).like(NUMBERS[:1001].double())
    assert torch.equal(double.float(), Noise(-7, 1, 2).like(NUMBERS[:1001]))
