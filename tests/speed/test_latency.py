"""The latency table: exact where it was measured, straight between; kept in a file."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune.cli import main
from prune.errors import StoreError
from prune.speed import latency
from prune.speed.latency import Profile, Setting, at

SETTING = Setting(32, 8, 2, 16)
PROFILE = Profile(SETTING, 1.0, 0.5, [(0, 0.0), (2, 2.0), (4, 3.0)], [(0, 0.0), (8, 4.0)])
millis = st.floats(0.01, 1e3)
curves = st.dictionaries(st.integers(1, 100), millis, min_size=1).map(lambda d: sorted(d.items()))


@given(curves)
def test_a_curve_goes_through_its_points_and_stays_between_neighbours(
    curve: list[tuple[int, float]],
) -> None:
    for units, ms in curve:
        assert at(curve, units) == pytest.approx(ms)
    points = [(0, 0.0), *curve]
    for (x0, y0), (x1, y1) in pairwise(points):
        low, high = sorted((y0, y1))
        assert low - 1e-9 <= at(curve, (x0 + x1) // 2) <= high + 1e-9


def test_a_network_is_the_sum_of_its_layers() -> None:
    assert PROFILE.layer_ms(3, 4) == pytest.approx(0.5 + 2.5 + 2.0)
    expected = 1.0 + PROFILE.layer_ms(3, 4) + PROFILE.layer_ms(0, 0)
    assert PROFILE.predict_ms([3, 0], [4, 0]) == pytest.approx(expected)


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=5))
def test_the_factor_makes_the_largest_error_as_small_as_can_be(errors: list[float]) -> None:
    shapes = [([h % 5], [8]) for h in range(len(errors))]
    seen = [(h, n, e * PROFILE.predict_ms(h, n)) for (h, n), e in zip(shapes, errors, strict=True)]
    fitted = PROFILE.fitted(seen)
    ratios = [ms / fitted.predict_ms(h, n) for h, n, ms in seen]
    assert max(ratios) * min(ratios) == pytest.approx(1)
    assert max(ratios) == pytest.approx(1 + fitted.residual)


@given(curves)
def test_noise_is_levelled_and_a_rising_curve_left_alone(curve: list[tuple[int, float]]) -> None:
    level = latency.rising(curve)
    heights = [ms for _, ms in level]
    assert heights == sorted(heights) and [x for x, _ in level] == [x for x, _ in curve]
    assert sum(heights) == pytest.approx(sum(ms for _, ms in curve))
    assert [ms for _, ms in latency.rising(level)] == pytest.approx(heights)
    steps = list(zip(range(len(curve)), sorted(ms for _, ms in curve), strict=True))
    assert latency.rising(steps) == steps


def test_another_unit_is_another_number_and_the_same_network() -> None:
    other = PROFILE.times(1000.0)
    for heads, neurons in (([3, 0], [4, 0]), ([0], [8])):
        ms = PROFILE.predict_ms(heads, neurons)
        assert other.predict_ms(heads, neurons) == pytest.approx(1000 * ms)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.json"
    assert latency.load(path) == {}
    latency.save(path, {SETTING: PROFILE})
    assert latency.load(path) == {SETTING: PROFILE}
    path.write_text(path.read_text()[:-30])
    with pytest.raises(StoreError, match="delete it"):
        latency.load(path)


@pytest.mark.slow  # twenty networks
def test_a_machine_is_measured_once(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["profile", "--hidden=32", "--head-size=8", "--batch=2", "--length=16", "--threads=1"]
    assert main(command) == 0
    assert "measuring batch 2 x 16" in capsys.readouterr().out
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "measuring" not in shown and "heads" in shown
    (file,) = (runs / ".profiles").iterdir()
    (found,) = latency.load(file).values()
    assert found.setting == SETTING
    for curve in (found.heads, found.neurons):
        assert len({units for units, _ in curve}) == len(curve)
    assert found.predict_ms([4, 4], [128, 128]) >= found.predict_ms([1, 1], [8, 8]) > 0
