"""Fronts and what is said about them: pure functions over arrays and tables.

`x` is what quality is paid with (speedup, density, ...), `y` the quality. Each has its own
direction; inside, everything is turned so that more is better. A NaN or an infinity never
reaches a front.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.metrics import Metric

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
FACTOR = 1.0005  # by which the staircase asks the metric to beat the last kept point


def non_dominated(x: Values, y: Values) -> Mask:
    """True where no other point is at least as good in both and better in one; more is better.

    Equal points do not dominate each other: both are kept. O(n log n).
    """
    keep = np.zeros(len(x), dtype=bool)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    order = known[np.lexsort((-y[known], -x[known]))]
    if not len(order):
        return keep
    xs, ys = x[order], y[order]
    first = np.flatnonzero(np.r_[True, xs[1:] != xs[:-1]])  # of each run of equal x: its best y
    best = np.repeat(ys[first], np.diff(np.r_[first, len(xs)]))
    running = np.maximum.accumulate(ys)
    before = np.r_[-np.inf, running[first[1:] - 1]]  # best y among strictly better x
    keep[order] = (ys == best) & (ys > np.repeat(before, np.diff(np.r_[first, len(xs)])))
    return keep


def staircase(x: Values, y: Values) -> Mask:
    """The rule of the published figures, for a metric where more is better.

    Walk from the best x down; keep a point only if its metric beats the last kept one by FACTOR.
    """
    keep = np.zeros(len(x), dtype=bool)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    last = -np.inf
    for i in known[np.lexsort((-y[known], -x[known]))]:
        if last == -np.inf or y[i] > last + (FACTOR - 1) * abs(last):
            keep[i] = True
            last = float(y[i])
    return keep


RULES: dict[str, Callable[[Values, Values], Mask]] = {
    "pareto": non_dominated,
    "staircase": staircase,
}


def on_front(table: pd.DataFrame, x: Metric, y: Metric, rule: str = "pareto") -> Mask:
    """Which rows of `table` are on the front of `y` against `x`."""
    return RULES[rule](oriented(table, x), oriented(table, y))


def front(table: pd.DataFrame, x: Metric, y: Metric, rule: str = "pareto") -> pd.DataFrame:
    """The rows of the front, best quality first."""
    rows = table[on_front(table, x, y, rule)]
    return rows.iloc[np.lexsort((-oriented(rows, x), -oriented(rows, y)))]


def hypervolume(x: Values, y: Values, reference: tuple[float, float]) -> float:
    """The area that the points dominate beyond `reference` (x, y); more is better in both."""
    keep = non_dominated(x, y) & (x > reference[0]) & (y > reference[1])
    order = np.argsort(-x[keep], kind="stable")
    xs, ys = x[keep][order], y[keep][order]
    steps = np.diff(np.r_[reference[1], ys])  # equal points add a step of height 0
    return float(np.sum((xs - reference[0]) * steps))


def best_within(table: pd.DataFrame, y: Metric, x: Metric, limit: float) -> pd.DataFrame:
    """At most one row: the best quality that costs no more than `limit` (a speedup: no less)."""
    cost, quality = oriented(table, x), oriented(table, y)
    bound = limit if x.higher else -limit
    fits = np.flatnonzero(np.isfinite(quality) & np.isfinite(cost) & (cost >= bound))
    best = fits[np.lexsort((-cost[fits], -quality[fits]))][:1]
    return table.iloc[best]


def tie_groups(values: Values, noise: float, higher: bool = True) -> NDArray[np.int64]:
    """A group number for each value, 0 for the best; a NaN is in no group (-1).

    A group holds what is within `noise` of its best member, so ties do not chain.
    """
    groups = np.full(len(values), -1, dtype=np.int64)
    good = values if higher else -values
    anchor, number = np.inf, -1
    for i in np.argsort(-good, kind="stable"):
        if not np.isfinite(good[i]):
            continue
        if number < 0 or anchor - good[i] > noise + 1e-9:  # 61.2 - 60.9 is a little over 0.3
            anchor, number = float(good[i]), number + 1
        groups[i] = number
    return groups


def oriented(table: pd.DataFrame, metric: Metric) -> Values:
    """A column turned so that more is better."""
    values = table[metric.column].to_numpy(dtype=float)
    return values if metric.higher else -values
