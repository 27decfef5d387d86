"""The published golden values, and what holds for any schedule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune.masks.schedule import Schedule


@pytest.mark.parametrize(
    ("step", "threshold"),
    [
        (0, 0.0),
        (5400, 0.0),
        (10000, 0.02458),
        (20000, 0.06342),
        (40000, 0.09657),
        (51260, 0.09988),
        (56661, 0.1),
        (110660, 0.1),
    ],
)
def test_the_published_hybrid_run(step: int, threshold: float) -> None:
    ramp = Schedule(warmup_steps=5400, initial=1, final=10).fit(110660)
    assert ramp.value(step, 0.0, 0.1) == pytest.approx(threshold, abs=5e-6)
    assert Schedule().fit(110660) == ramp  # the ratio we default to is that run's


@given(total=st.integers(300, 5000), ratio=st.floats(0, 0.08), step=st.integers(0, 5000))
def test_it_rises_from_start_to_end(total: int, ratio: float, step: int) -> None:
    ramp = Schedule(warmup_ratio=ratio).fit(total)
    assert 0 <= ramp.progress(step) <= ramp.progress(step + 1) <= 1
    assert ramp.value(0, 0.3, 0.7) == 0.3 and ramp.value(total, 0.3, 0.7) == 0.7
    assert 0 <= ramp.learning_rate(step) <= 1
    assert ramp.learning_rate(total) == 0


def test_pruning_speed_is_one_number() -> None:
    ramp = Schedule(warmup_steps=10, ramp_epochs=2).fit(1000, steps_per_epoch=100)
    assert (ramp.begin, ramp.end) == (10, 210)
