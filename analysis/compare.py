"""Two sweeps against each other: at each budget, and as whole fronts."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.family import DENSE
from analysis.metrics import Metric
from analysis.pareto import best_within, hypervolume, non_dominated, oriented
from analysis.summary import BUDGETS, Summary, summarise
from prune.errors import MissingInputError


@dataclass(frozen=True)
class Comparison:
    """One task that both groups have points of."""

    task: str
    names: tuple[str, str]
    x: Metric
    y: Metric
    counts: tuple[int, int]  # pruned points
    beaten: tuple[int, int]  # points of each one's front that a point of the other one beats
    fronts: tuple[int, int]
    volumes: tuple[float, float]  # hypervolumes beyond the same corner; NaN without a reference
    budgets: list[dict[str, Any]]  # limit, first, second (qualities), difference, verdict


def compare(table: pd.DataFrame, names: tuple[str, str], x: Metric, rule: str) -> list[Comparison]:
    """Group `names[0]` against `names[1]`, by task. Raises MissingInputError if none is shared."""
    missing = [name for name in names if name not in set(table["group"])]
    if missing:
        there = ", ".join(sorted(set(table["group"])))
        raise MissingInputError(f"no points in group {missing[0]!r}; there are: {there}")
    both = table[table["group"].isin(names) | (table["family"] == DENSE)]
    found = [_one(one, names) for one in summarise(both, x, rule)]
    found = [one for one in found if all(one.counts)]
    if not found:
        raise MissingInputError(f"{names[0]} and {names[1]} have no task in common")
    return found


def _one(summary: Summary, names: tuple[str, str]) -> Comparison:
    x, y = summary.x, summary.y
    pruned = summary.points[summary.points["family"] != DENSE]
    sides = [pruned[pruned["group"] == name] for name in names]
    values = [(oriented(side, x), oriented(side, y)) for side in sides]
    fronts = [non_dominated(*pair) for pair in values]
    corner = tuple(
        c if metric.higher else -c for c, metric in zip(summary.corner, (x, y), strict=True)
    )
    volumes = [hypervolume(*pair, (corner[0], corner[1])) if not math.isnan(corner[0]) else math.nan
               for pair in values]  # fmt: skip
    beaten = [_beaten(values[i], fronts[i], values[1 - i]) for i in (0, 1)]
    limits = BUDGETS["speedup" if x.higher else "density"]
    ranked = x.column in ("speedup", "nonzero_density")
    rows = [_budget(sides, x, y, limit) for limit in (limits if ranked else ())]
    return Comparison(
        *(summary.task, names, x, y, (len(sides[0]), len(sides[1])), (beaten[0], beaten[1])),
        *((int(fronts[0].sum()), int(fronts[1].sum())), (volumes[0], volumes[1])),
        [row for row in rows if row],
    )


def _beaten(own: tuple[Any, Any], front: Any, other: tuple[Any, Any]) -> int:
    x, y = own[0][front], own[1][front]
    better = (other[0] >= x[:, None]) & (other[1] >= y[:, None])
    strictly = (other[0] > x[:, None]) | (other[1] > y[:, None])
    return int(np.any(better & strictly, axis=1).sum())


def _budget(sides: list[pd.DataFrame], x: Metric, y: Metric, limit: float) -> dict[str, Any]:
    best = [best_within(side, y, x, limit) for side in sides]
    if all(one.empty for one in best):
        return {}
    first, second = (float(one["quality"].iloc[0]) if len(one) else None for one in best)
    row = {"limit": limit, "first": first, "second": second, "difference": None}
    if first is None or second is None:
        return {**row, "verdict": "only one reaches it"}
    gain = second - first
    tie = abs(gain) <= y.noise + 1e-9
    winner = "tie" if tie else "second" if (gain > 0) == y.higher else "first"
    return {**row, "difference": gain, "verdict": winner}


def comparison_lines(one: Comparison) -> list[str]:
    """For a terminal."""
    first, second = one.names
    lines = [f"{one.task} · {one.y.label} against {one.x.label} · {first} and {second}"]
    for i, name in enumerate(one.names):
        volume = "" if math.isnan(one.volumes[i]) else f", hypervolume {one.volumes[i]:.3f}"
        lines.append(
            f"  {name}: {one.counts[i]} points, {one.fronts[i]} on its front, "
            f"{one.beaten[i]} of them beaten by {one.names[1 - i]}{volume}"
        )
    sign = "at least" if one.x.higher else "at most"
    words = {"first": first, "second": second}
    for row in one.budgets:
        shown = [one.y.show(math.nan if row[k] is None else row[k]) for k in ("first", "second")]
        gain = "" if row["difference"] is None else f" ({row['difference']:+.1f})"
        verdict = words.get(row["verdict"], row["verdict"])
        lines.append(
            f"  {one.x.label} {sign} {one.x.show(row['limit'])}: "
            f"{shown[0]} and {shown[1]}{gain}: {verdict}"
        )
    return lines
