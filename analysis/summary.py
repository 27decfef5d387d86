"""What a report says about each task: computed once, then shown by table, page and figures."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.family import BLOCK_SPARSE, DENSE
from analysis.metrics import Metric, quality_metric
from analysis.pareto import best_within, front, hypervolume, on_front, oriented, tie_groups
from analysis.seeds import over_seeds

FLOOR = 0.9  # of the dense quality: what is worse adds nothing to the hypervolume
BUDGETS: dict[str, tuple[float, ...]] = {
    "speedup": (1.25, 1.5, 2.0, 3.0, 4.0),
    "density": (0.75, 0.5, 0.25, 0.1),
}


@dataclass(frozen=True)
class Summary:
    """One task. `points` has all its rows, dense ones too, with `on_front` and `tie` filled in."""

    name: str  # of its files: the task, and the metric where a task has several
    task: str
    metric: str  # a key of QUALITY
    x: Metric
    y: Metric
    rule: str
    points: pd.DataFrame
    front: pd.DataFrame  # pruned points only, best quality first
    dense: pd.DataFrame  # model, quality, low, high: the reference lines
    budgets: pd.DataFrame  # limit, then the columns of `points`: the best within each limit
    volume: float  # hypervolume beyond `corner`; NaN where there is no reference
    corner: tuple[float, float]  # (x, y), in their own units
    notes: list[str]
    seeds: pd.DataFrame  # `over_seeds`: settings with several seeds, their means and deviations

    @property
    def pruned(self) -> int:
        return int((self.points["family"] != DENSE).sum())


def summarise(table: pd.DataFrame, x: Metric, rule: str = "pareto") -> list[Summary]:
    """One Summary for each task (and headline metric) in the frame, in order of name."""
    keys = table[["task", "metric"]].astype(str).drop_duplicates().sort_values(["task", "metric"])
    tasks = list(keys["task"])
    found = []
    for task, metric in keys.itertuples(index=False):
        rows = table[(table["task"] == task) & (table["metric"] == metric)]
        name = task if tasks.count(task) == 1 else f"{task}_{metric}"
        found.append(_summary(rows, re.sub(r"[^\w.-]+", "_", name), metric, x, rule))
    return found


def _summary(rows: pd.DataFrame, name: str, metric: str, x: Metric, rule: str) -> Summary:
    y = quality_metric(metric)
    points = rows.assign(on_front=on_front(rows, x, y, rule), tie="")
    # Dense points take part in the front, so that no point slower and worse than dense is on it;
    # they are shown as the reference, not as a result.
    pruned = points[points["on_front"] & (points["family"] != DENSE)]
    best = front(pruned, x, y, rule)
    best = best.assign(tie=_ties(best, y))
    points.loc[best.index, "tie"] = best["tie"]
    dense = dense_values(points)
    volume, corner = _volume(pruned, dense, x, y)
    return Summary(
        *(name, str(points["task"].iloc[0]), metric, x, y, rule, points, best, dense),
        *(_budgets(points, x, y), volume, corner, _notes(points, dense, x, y)),
        over_seeds(points, x),
    )


def dense_values(points: pd.DataFrame) -> pd.DataFrame:
    """The dense quality of each model: measured by dense runs, else what its runs refer to.

    Models that were published against one dense network share its row.
    """
    rows: list[tuple[Any, float, float, float]] = []
    published: list[tuple[Any, float, float, float]] = []
    for model, group in points.groupby("model", sort=True):
        own = group.loc[group["family"] == DENSE, "quality"].dropna().to_numpy(dtype=float)
        values = own if len(own) else group["dense_quality"].dropna().to_numpy(dtype=float)
        if len(values):
            row = (model, float(np.median(values)), float(values.min()), float(values.max()))
            (published if group["source"].ne("").all() else rows).append(row)
    if len({row[1:] for row in published}) == 1:
        published = published[:1]
    return pd.DataFrame(sorted(rows + published), columns=["model", "quality", "low", "high"])


def _ties(best: pd.DataFrame, y: Metric) -> list[str]:
    """For each row of the front the run id it ties with: the best one of its group."""
    groups = tie_groups(best["quality"].to_numpy(dtype=float), y.noise, y.higher)
    leader: dict[int, str] = {}
    ties = []
    for group, run in zip(groups, best["run_id"], strict=True):
        ties.append(leader.get(int(group), "") if group >= 0 else "")
        leader.setdefault(int(group), str(run))
    return ties


def _volume(
    pruned: pd.DataFrame, dense: pd.DataFrame, x: Metric, y: Metric
) -> tuple[float, tuple[float, float]]:
    """Beyond the dense network's own x and FLOOR of its quality. Ratios have a natural corner."""
    if len(dense) != 1 or x.column not in ("speedup", "nonzero_density"):
        return np.nan, (np.nan, np.nan)
    quality = float(dense["quality"].iloc[0])
    corner = (1.0, quality * (FLOOR if y.higher else 1 / FLOOR))
    turned = (corner[0] if x.higher else -corner[0], corner[1] if y.higher else -corner[1])
    return hypervolume(oriented(pruned, x), oriented(pruned, y), turned), corner


def _budgets(points: pd.DataFrame, x: Metric, y: Metric) -> pd.DataFrame:
    name = "speedup" if x.higher else "density"
    limits = BUDGETS[name] if x.column in ("speedup", "nonzero_density") else ()
    pruned = points[points["family"] != DENSE]
    found = [best_within(pruned, y, x, limit).assign(limit=limit) for limit in limits]
    found = [row for row in found if len(row)]
    return pd.concat(found) if found else points.iloc[:0].assign(limit=0.0)


def _notes(points: pd.DataFrame, dense: pd.DataFrame, x: Metric, y: Metric) -> list[str]:
    """What a reader has to know before comparing the points with each other."""
    notes = []
    finite = np.isfinite(oriented(points, x)) & np.isfinite(oriented(points, y))
    if lost := int((~finite).sum()):
        notes.append(f"{lost} points without a finite {x.label} or {y.label} are on no front")
    # The name of its family says which points were timed in the block-sparse runtime.
    apart = points["runtime"].where(points["runtime"] != BLOCK_SPARSE, "eager")
    cells = points.groupby(["batch", "length", apart]).size().reset_index()
    if len(cells) > 1:
        parts = [f"{b:.0f} x {n:.0f} {r} ({c})" for b, n, r, c in cells.itertuples(index=False)]
        notes.append(f"latency was measured at {', '.join(parts)}: choose with batch=32 length=128")
    models = sorted(points["model"].unique())
    if len(models) > 1:
        against = (
            "each against its own dense one" if len(dense) > 1 else "against one dense network"
        )
        notes.append(
            f"{len(models)} models ({', '.join(models)}), {against}: choose with model={models[0]}"
        )
    return notes
