"""Fronts against definitions that are slow and obviously right."""

import math

import numpy as np
import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from analysis.metrics import AXES, QUALITY
from analysis.pareto import (
    FACTOR,
    best_within,
    front,
    hypervolume,
    non_dominated,
    on_front,
    staircase,
    tie_groups,
)

# Few different values, so that ties are common; and everything that is no number.
value = st.one_of(st.integers(-3, 6).map(float), st.floats(-5, 5), st.just(math.nan))
wild = st.one_of(value, st.sampled_from([math.inf, -math.inf]))
points = st.lists(st.tuples(wild, wild), max_size=25)
cells = st.lists(st.tuples(st.integers(-2, 7), st.integers(-2, 7)), max_size=12)


def arrays(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def finite(pair: tuple[float, float]) -> bool:
    return math.isfinite(pair[0]) and math.isfinite(pair[1])


def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and a != b


@given(points)
def test_a_point_is_on_the_front_when_no_other_beats_it(pairs: list[tuple[float, float]]) -> None:
    known = [pair for pair in pairs if finite(pair)]
    expected = [finite(p) and not any(beats(other, p) for other in known) for p in pairs]
    assert non_dominated(*arrays(pairs)).tolist() == expected


@given(points)
def test_the_front_does_not_depend_on_the_order(pairs: list[tuple[float, float]]) -> None:
    keep = non_dominated(*arrays(pairs))
    back = non_dominated(*arrays(pairs[::-1]))
    assert keep.tolist() == back.tolist()[::-1]


@given(points)
def test_the_staircase_is_the_published_loop(pairs: list[tuple[float, float]]) -> None:
    x, y = arrays([(px, abs(py)) for px, py in pairs])  # a factor is meant for positive metrics
    order = [i for i in range(len(x)) if math.isfinite(x[i]) and math.isfinite(y[i])]
    order.sort(key=lambda i: (-x[i], -y[i]))
    kept: list[int] = []
    for i in order:
        # `last + last * (FACTOR - 1)`, as a product may differ in the last digit
        if not kept or y[i] > y[kept[-1]] + y[kept[-1]] * (FACTOR - 1):
            kept.append(i)
    assert np.flatnonzero(staircase(x, y)).tolist() == sorted(kept)


@given(points)
def test_the_staircase_is_part_of_the_front(pairs: list[tuple[float, float]]) -> None:
    x, y = arrays(pairs)
    assert not (staircase(x, y) & ~non_dominated(x, y)).any()


@given(cells)
def test_the_hypervolume_is_the_number_of_unit_squares_below(pairs: list[tuple[int, int]]) -> None:
    squares = {
        (i, j) for x, y in pairs for i in range(max(x, 0)) for j in range(max(y, 0)) if x > 0 < y
    }
    x, y = arrays([(float(a), float(b)) for a, b in pairs])
    assert hypervolume(x, y, (0.0, 0.0)) == len(squares)


@example([1.0, math.nan, 0.0, 4.0], 3.0)
@given(st.lists(st.floats(0, 100) | st.just(math.nan), max_size=20), st.floats(0, 5))
def test_a_tie_is_within_the_noise_of_the_best_of_its_group(
    values: list[float], noise: float
) -> None:
    groups = tie_groups(np.array(values, dtype=float), noise).tolist()
    assert all((group == -1) == math.isnan(v) for v, group in zip(values, groups, strict=True))
    best: dict[int, float] = {}
    known = [pair for pair in zip(groups, values, strict=True) if pair[0] >= 0]  # NaN has no order
    for number, v in sorted(known, key=lambda item: -item[1]):
        best.setdefault(number, v)
        assert best[number] - v <= noise + 1e-6
    for number in range(1, len(best)):  # a new group starts only where the noise ends
        assert best[number - 1] - best[number] > noise


def test_ties_do_not_chain() -> None:
    assert tie_groups(np.array([61.2, 60.9, 60.7, 60.6, 55.0]), 0.3).tolist() == [0, 0, 1, 1, 2]
    assert tie_groups(np.array([0.5, 0.3]), 0.1, higher=False).tolist() == [1, 0]


def table(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_less_density_is_better_and_the_front_starts_with_the_best_quality() -> None:
    rows = table(quality=[90.0, 88.0, 89.0, 80.0], nonzero_density=[0.9, 0.3, 0.5, 0.4])
    best = front(rows, AXES["density"], QUALITY["f1"])
    assert best["quality"].tolist() == [90.0, 89.0, 88.0]
    lower = front(rows, AXES["density"], QUALITY["loss"])
    assert lower["quality"].tolist() == [80.0, 88.0]


def test_the_published_rule_drops_what_is_hardly_better() -> None:
    rows = table(quality=[80.0, 80.03, 80.05, 90.0], speedup=[4.0, 3.0, 2.0, 1.0])
    mask = on_front(rows, AXES["speedup"], QUALITY["f1"], "staircase")
    assert mask.tolist() == [True, False, True, True]
    assert on_front(rows, AXES["speedup"], QUALITY["f1"]).all()


def test_the_best_within_a_budget() -> None:
    rows = table(quality=[90.0, 88.0, 88.0, math.nan], speedup=[1.1, 1.6, 2.0, 3.0])
    assert best_within(rows, QUALITY["f1"], AXES["speedup"], 1.5)["speedup"].tolist() == [2.0]
    assert best_within(rows, QUALITY["f1"], AXES["speedup"], 1.0)["quality"].tolist() == [90.0]
    assert best_within(rows, QUALITY["f1"], AXES["speedup"], 2.5).empty
    size = table(quality=[90.0, 88.0], size_mb=[400.0, 150.0])
    assert best_within(size, QUALITY["f1"], AXES["size"], 200)["size_mb"].tolist() == [150.0]
