"""The order statistic is exact: the same as a full sort, ties and all."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prune.masks.algorithms.ranking import MANY, count_kept, keep_largest


def by_sorting(values: torch.Tensor, count: int) -> torch.Tensor:
    mask = torch.zeros(values.numel(), dtype=torch.uint8)
    mask[values.flatten().argsort(descending=True, stable=True)[:count]] = 1
    return mask.view(values.shape)


@given(
    values=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 0.5000001, 2.0]), min_size=1, max_size=60),
    density=st.floats(0, 1),
)
def test_small_with_ties(values: list[float], density: float) -> None:
    tensor = torch.tensor(values)
    count = count_kept(density, len(values))
    assert torch.equal(keep_largest(tensor, count), by_sorting(tensor, count))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    density=st.floats(0, 1),
    kind=st.sampled_from(["normal", "ties", "constant", "sorted", "periodic", "one tie"]),
    n=st.sampled_from([MANY, MANY + 3, 1 << 17]),
)
def test_large(seed: int, density: float, kind: str, n: int) -> None:
    torch.manual_seed(seed)
    values = {
        "normal": torch.randn(n),
        "ties": torch.randn(n).mul(3).round(),
        "constant": torch.zeros(n),
        "sorted": torch.arange(n).float(),
        "one tie": torch.randn(n).relu(),
        "periodic": (torch.arange(n) % 5 == 0).float() * torch.randn(n),  # misleads the sample
    }[kind]
    count = count_kept(density, n)
    assert torch.equal(keep_largest(values, count), by_sorting(values, count))


@pytest.mark.parametrize("kept", [1, 2, 300, 5000, -5000, -300, -2, -1])
def test_nearly_nothing_and_nearly_all(kept: int) -> None:
    values = torch.randn(1100, 256)
    count = kept % values.numel()
    assert torch.equal(keep_largest(values, count), by_sorting(values, count))


def test_values_that_are_no_numbers_do_not_hang() -> None:
    values = torch.randn(1100, 256)
    values[::3, ::5] = float("nan")
    assert 0 < keep_largest(values, 60_000).sum() <= values.numel()


@pytest.mark.parametrize(
    ("density", "total", "kept"), [(0.5, 3, 2), (0, 9, 0), (1, 9, 9), (0.05, 10, 1)]
)
def test_halves_round_up(density: float, total: int, kept: int) -> None:
    assert count_kept(density, total) == kept
