"""Numbers above a bracket and inside of it: what numpy finds, in the same order."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

pytest.importorskip("llvmlite", reason="needs llvmlite: pip install 'prune[cpu]'")
from prune.kernels import between
from prune.kernels.llvm.machine import host

COUNT = 1 << 16


@pytest.fixture(params=[n for n in (16, 8, 4) if n <= host().lanes], ids=lambda n: f"{n} lanes")
def like(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor that this one can pretend to be."""
    narrow = host().narrow(request.param)
    monkeypatch.setattr(between, "host", lambda: narrow)
    between._code.cache_clear()
    yield
    between._code.cache_clear()


@pytest.mark.parametrize("length", [COUNT, COUNT + 16, 3 * COUNT + 48])
@pytest.mark.parametrize(
    ("low", "high"), [(-0.1, 0.1), (0.0, 0.1), (1.0, math.inf), (-math.inf, -1.2), (0.2, 0.2)]
)
def test_what_numpy_finds(like: None, threads: int, length: int, low: float, high: float) -> None:
    values = torch.randn(length)
    values[::7], values[5::640], values[9] = 0.0, math.nan, math.inf
    found = between.split(values, low, high)
    x, (low, high) = values.numpy(), np.array([low, high], np.float32)
    inside = (x > low) & (x <= high)
    if inside.sum() > length // between.ROOM:
        assert found is None
        return
    assert found is not None
    mask, seen, collected, places = found
    assert np.array_equal(mask, x > high) and seen == (x > high).sum()
    assert np.array_equal(places, np.flatnonzero(inside))
    assert np.array_equal(collected, x[inside])


def test_too_many_inside_are_left_to_numpy(like: None, threads: int) -> None:
    assert between.split(torch.zeros(COUNT), -1.0, 1.0) is None
    crowded = torch.arange(COUNT).float()  # all of one thread's
    assert between.split(crowded, 0.0, COUNT / 4) is None


@pytest.mark.parametrize(
    "values",
    [torch.zeros(COUNT + 8), torch.zeros(COUNT // 2), torch.zeros(COUNT, dtype=torch.float64)],
    ids=["no whole vectors", "few", "of another type"],
)
def test_what_it_does_not_serve_it_refuses(values: torch.Tensor) -> None:
    assert between.split(values, 0.0, 1.0) is None
    assert between.split(torch.zeros(2 * COUNT)[::2], 0.0, 1.0) is None
