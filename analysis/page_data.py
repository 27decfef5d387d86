"""What the page knows: the points of each task with all that is shown of them, as plain JSON."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.curves import families
from analysis.metrics import AXES, Metric
from analysis.pareto import Mask, on_front
from analysis.style import COLOURS, ON_BLACK
from analysis.summary import Summary
from analysis.table import about, footnotes, headline
from prune.store import Overview

MOST = 3000  # points of a task in the page: more make it slow, and points.csv has all
WITH_CURVES = 400  # runs whose training is in the page: those on a front first
SAMPLES = 80  # of each training curve
MORE_AXES: dict[str, Metric] = {
    "stored_density": Metric("stored_density", "stored density", "", False, 2),
    "model_density": Metric("model_density", "density of the whole model", "", False, 2),
    "heads": Metric("heads", "heads", "", False, 0),
    "neurons": Metric("neurons", "neurons", "", False, 0),
    "epochs": Metric("epochs", "epochs", "", False, 1),
    "ramp_epochs": Metric("ramp_epochs", "epochs of pruning", "", False, 1),
    "penalty": Metric("penalty", "penalty", "", False, 2),
}
HOURS, MINUTES = Metric("cost", "cost", " h", False, 2), Metric("cost", "cost", " min", False, 1)
TEXTS = {
    **{"run": "run_id", "family": "family", "algorithm": "algorithm", "block": "block"},
    **{"teacher": "teacher", "model": "model", "group": "group", "command": "command"},
    **{"variant": "variant", "path": "path"},
}
References = Mapping[str, list[dict[str, Any]]]


def page_data(
    summaries: Sequence[Summary], overview: Overview | None, references: References
) -> dict[str, Any]:
    """The object that the page's script reads; every number in it is finite or None."""
    tasks = [_task(one, overview, references.get(one.task, [])) for one in summaries]
    return {
        "colours": {"light": COLOURS, "dark": ON_BLACK},
        "x": next((key for key, axis in AXES.items() if axis == summaries[0].x), "speedup"),
        "tasks": tasks,
    }


def _task(
    summary: Summary, overview: Overview | None, references: list[dict[str, Any]]
) -> dict[str, Any]:
    seconds = summary.points["seconds"].where(lambda s: s > 0)
    cost = HOURS if seconds.max() >= 3600 else MINUTES
    rows = summary.points.assign(cost=seconds / (3600 if cost is HOURS else 60))
    shown = rows[_shown(rows, summary)]
    axes = {**AXES, **MORE_AXES, "cost": cost}
    metrics = {"quality": summary.y, **_other_qualities(shown, summary), **axes}
    metrics = {key: m for key, m in metrics.items() if shown[m.column].notna().any()}
    points = [_point(row, metrics) for row in shown.to_dict("records")]
    if overview:
        _add_details(points, shown, overview)
    return {
        "name": summary.name,
        "title": headline(summary),
        "about": about(summary),
        "notes": footnotes(summary),
        "metrics": {key: _metric(m) for key, m in metrics.items()},
        "curves": families(summary),
        "dense": [
            {"model": model, "quality": quality}
            for model, quality, _, _ in summary.dense.itertuples(index=False)
        ],
        "points": points,
        "more": len(rows) - len(shown),
        "references": [r for r in references if r["metric"] == summary.metric],
    }


def _shown(rows: pd.DataFrame, summary: Summary) -> Mask:
    """All of a small table; of a large one what is on any front, and an even part of the rest."""
    if len(rows) <= MOST:
        return np.ones(len(rows), dtype=bool)
    keep = rows["on_front"].to_numpy(dtype=bool).copy()
    for axis in AXES.values():
        keep |= on_front(rows, axis, summary.y, summary.rule)
    rest = np.flatnonzero(~keep)
    wanted = max(0, MOST - int(keep.sum()))
    keep[rest[np.linspace(0, len(rest) - 1, min(wanted, len(rest))).astype(int)]] = True
    return keep


def _other_qualities(rows: pd.DataFrame, summary: Summary) -> dict[str, Metric]:
    """Every other metric of the task that points of it have."""
    known = list(rows.columns)
    names = known[known.index("speedup_high") + 1 :]
    measured = [n for n in names if n.islower() and n not in _NO_QUALITY and n != summary.metric]
    return {
        name: Metric(name, name.replace("_", " "), "", name != "loss", 2)
        for name in measured
        if pd.api.types.is_float_dtype(rows[name]) and rows[name].notna().any()
    }


_NO_QUALITY = {
    *("batch", "length", "dense_ms", "pruned_ms", "speedup", "seed", "steps", "seconds", "cost"),
    *("quality", "dense_quality", "nonzero_density", "target_density", "position"),
    *("size_mb", "dense_size_mb", "limit"),
    *(m.column for m in (*AXES.values(), *MORE_AXES.values())),
}


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "label": metric.label,
        "unit": metric.unit,
        "higher": metric.higher,
        "digits": metric.digits,
    }


def _point(row: Mapping[Any, Any], metrics: Mapping[str, Metric]) -> dict[str, Any]:
    numbers = {key: row[metric.column] for key, metric in metrics.items()}
    numbers |= {"low": row["speedup_low"], "high": row["speedup_high"], "seed": row["seed"]}
    return {
        **{key: str(row[column]) for key, column in TEXTS.items()},
        **{k: float(f"{v:.6g}") if math.isfinite(v) else None for k, v in numbers.items()},
        "evidence": evidence(row),
    }


def evidence(row: Mapping[Any, Any]) -> str:
    """What stands behind a point: where it was timed, and the hash of what was measured."""
    timed = "no latency"
    if row["runtime"]:
        timed = f"{row['runtime']} batch {row['batch']:.0f} x {row['length']:.0f}: "
        timed += f"dense {row['dense_ms']:.1f} ms, this {row['pruned_ms']:.1f} ms"
    if row["source"]:
        return f"{timed}; published, from {row['source']}"
    return f"{timed}; {row['artifact']} sha256 {row['sha256'][:12]}"


def _add_details(points: list[dict[str, Any]], rows: pd.DataFrame, overview: Overview) -> None:
    """Heads and widths of every layer, and how the training went."""
    layers = overview.layers(list(dict.fromkeys(rows["path"])))
    for point, position in zip(points, rows["position"], strict=True):
        point["layers"] = layers.get((point["path"], int(position)))
    order = np.argsort(~rows["on_front"].to_numpy(dtype=bool), kind="stable")
    first = dict.fromkeys(rows["path"].iloc[order[:WITH_CURVES]])
    found = curves(overview, list(first))
    for point in points:
        if point["path"] in found:
            point["curves"] = found[point["path"]]


def curves(overview: Overview, paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Path -> loss, density and lambda -> [steps, values], at most SAMPLES of each.

    Lambda is shown as a share of its largest value, so that it fits beside a density.
    """
    found: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for path, step, name, value in overview.series(paths):
        if name in ("loss", "density", "penalty"):
            steps, values = found.setdefault(path, {}).setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    return {
        path: {k: v for n, s in lines.items() for k, v in _line(n, *s)}
        for path, lines in found.items()
    }


def _line(name: str, steps: list[int], values: list[float]) -> list[tuple[str, list[Any]]]:
    if name == "penalty":
        top = max(values)
        if top <= 0:
            return []
        name, values = f"lambda / {top:g}", [value / top for value in values]
    pick = np.unique(np.linspace(0, len(steps) - 1, min(SAMPLES, len(steps))).astype(int))
    return [(name, [[steps[i] for i in pick], [float(f"{values[i]:.4g}") for i in pick]])]
