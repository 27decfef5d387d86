"""What a figure shows, as plain tables: which points, which curve, which limits. Draws nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.family import DENSE
from analysis.metrics import Metric
from analysis.pareto import Values, on_front, oriented
from analysis.seeds import over_seeds
from analysis.summary import Summary

INTEREST = 0.25  # of the best quality: what lies further from it would squeeze the rest together
MANY_FAMILIES = 8  # more curves than this no reader can tell apart
REACH = (0.3, 0.15)  # of x and y, by which they grow for points of other papers
OTHER = "other"


@dataclass(frozen=True)
class Panel:
    """One pair of axes. `points`: x, y, low and high (of x), family, curve, best, run_id."""

    task: str
    x: Metric
    y: Metric
    points: pd.DataFrame  # finite, inside the limits; curve: on its family's front; best: of all
    dense: pd.DataFrame  # model, quality: horizontal lines
    xlim: tuple[float, float]
    ylim: tuple[float, float]
    hidden: int  # points of too low a quality to be inside `ylim`
    references: pd.DataFrame  # x, y, name, harness: of other papers, inside the limits
    outside: int  # of those, how many are not
    seeds: pd.DataFrame  # `over_seeds`

    def curve(self, family: str) -> pd.DataFrame:
        """The connected points of a family, from left to right."""
        rows = self.points
        return rows[(rows["family"] == family) & rows["curve"]].sort_values(["x", "y"])

    def steps(self) -> tuple[Values, Values]:
        """The attained front: corners (x, y) of the best quality to be had at each x."""
        best = self.points[self.points["best"]].sort_values(["x", "y"])
        x, y = best["x"].to_numpy(dtype=float), best["y"].to_numpy(dtype=float)
        if not len(x):
            return x, y
        if self.x.higher:  # up to each point's x one can have that point
            return np.r_[self.xlim[0], np.repeat(x, 2)], np.r_[np.repeat(y, 2), self.worst]
        return np.r_[np.repeat(x, 2), self.xlim[1]], np.r_[self.worst, np.repeat(y, 2)]

    @property
    def worst(self) -> float:
        """The end of the quality axis where nobody wants to be."""
        return self.ylim[0] if self.y.higher else self.ylim[1]


def families(summary: Summary) -> list[str]:
    """The names of the curves, in an order that does not change with the axis.

    Those that hold most of the front, then the largest, have a curve; the rest is OTHER.
    """
    pruned = summary.points[summary.points["family"] != DENSE]
    rank = pruned.groupby("family").agg(best=("on_front", "sum"), count=("run_id", "size"))
    rank = rank.sort_values(["best", "count"], ascending=False, kind="stable")
    return sorted((str(name) for name in rank.index[:MANY_FAMILIES]), key=_natural)


def panel(summary: Summary, x: Metric, references: Sequence[Mapping[str, Any]] = ()) -> Panel:
    """Quality against `x` for one task; references: as `read_references` has them."""
    points = _points(summary, x)
    ylim = quality_limits(points, summary)
    xlim = _across(points[points["y"].between(*ylim)])
    others = _references(references, x)
    near = others[_near(others["x"], xlim, REACH[0]) & _near(others["y"], ylim, REACH[1])]
    xlim, ylim = _wider(xlim, near["x"]), _wider(ylim, near["y"])
    inside = points["y"].between(*ylim)
    dense = summary.dense[["model", "quality"]]
    seeds = over_seeds(summary.points, x) if len(summary.seeds) else summary.seeds
    return Panel(
        *(summary.task, x, summary.y, points[inside].reset_index(drop=True), dense, xlim, ylim),
        *(int((~inside).sum()), near.reset_index(drop=True), len(others) - len(near), seeds),
    )


def _across(shown: pd.DataFrame) -> tuple[float, float]:
    """The limits of x: all points, and the intervals of those that have a curve."""
    bars = shown.loc[shown["curve"], ["low", "high"]].to_numpy(dtype=float).ravel()
    return _padded(np.r_[shown["x"].to_numpy(dtype=float), bars[np.isfinite(bars)]], 0.04)


def quality_limits(points: pd.DataFrame, summary: Summary) -> tuple[float, float]:
    """The quality axis: all points, unless some collapsed; then down to INTEREST below the best."""
    values = points["y"].to_numpy(dtype=float)
    values = np.r_[values, summary.dense["quality"].to_numpy(dtype=float)]
    if not len(values):
        return 0.0, 1.0
    best = values.max() if summary.y.higher else values.min()
    reach = INTEREST * abs(best) if best else np.inf
    return _padded(values[np.abs(values - best) <= reach], 0.06)


def _points(summary: Summary, x: Metric) -> pd.DataFrame:
    names = families(summary)
    rows = summary.points
    interval = x.column == "speedup"
    data = pd.DataFrame(
        {
            "x": rows[x.column],
            "y": rows["quality"],
            "low": rows["speedup_low"] if interval else np.nan,
            "high": rows["speedup_high"] if interval else np.nan,
            "family": rows["family"].where(rows["family"].isin([*names, DENSE]), OTHER),
            "curve": False,
            "best": on_front(rows, x, summary.y, summary.rule),
            "run_id": rows["run_id"],
        }
    )
    known = np.isfinite(oriented(rows, x)) & np.isfinite(oriented(rows, summary.y))
    data = data[known & (rows["family"] != DENSE).to_numpy()]
    for name in names:
        own = rows[["quality", x.column]].loc[data.index[data["family"] == name]]
        data.loc[own.index, "curve"] = on_front(own, x, summary.y, summary.rule)
    return data


def _references(references: Sequence[Mapping[str, Any]], x: Metric) -> pd.DataFrame:
    """Those that have a number for this axis."""
    key = {"speedup": "speedup", "nonzero_density": "density"}.get(x.column, "")
    rows = [(r[key], r["quality"], r["name"], r["harness"]) for r in references if key in r]
    return pd.DataFrame(rows, columns=["x", "y", "name", "harness"])


def _near(values: "pd.Series[Any]", limits: tuple[float, float], share: float) -> Any:
    reach = share * (limits[1] - limits[0])
    return (values >= limits[0] - reach) & (values <= limits[1] + reach)


def _wider(limits: tuple[float, float], values: "pd.Series[Any]") -> tuple[float, float]:
    """Limits that hold `values` too, with some room for their names."""
    if values.empty:
        return limits
    low, high = min(limits[0], float(values.min())), max(limits[1], float(values.max()))
    room = 0.04 * (high - low)
    return low - room * (low < limits[0]), high + room * (high > limits[1])


def _padded(values: Values, share: float) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    pad = share * (high - low) or 0.02 * abs(high) or 0.5
    return low - pad, high + pad


def _natural(name: str) -> tuple[str, tuple[int, ...]]:
    """`block 4x4` before `block 16x16`."""
    head, _, tail = name.partition(" ")
    digits = "".join(c if c.isdigit() else " " for c in tail).split()
    return head, tuple(int(d) for d in digits)
