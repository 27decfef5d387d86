"""The figures of a paper, as tables: which points, which curves. Draws nothing."""

import dataclasses
import re

import numpy as np
import pandas as pd

from analysis.curves import Panel, families, panel
from analysis.family import DENSE
from analysis.metrics import AXES
from analysis.summary import Summary

VARIED = re.compile(r"filled|NoNorm|ReLU|2:4|large|output as FFN|magnitude|block-sparse")
LARGE = ", large teacher"
PLAIN = re.compile(r"^(block \S+|hybrid \S+|unstructured)$")
Figures = dict[str, tuple[list[Panel], list[str]]]  # name -> panels, families in order


def paper_figures(summary: Summary) -> Figures:
    """`blocks`, `teacher` and `pruning_speed`, each where the points can say something about it."""
    chosen = {
        "blocks": _blocks(summary.points),
        "teacher": _teachers(summary.points),
        "pruning_speed": _speeds(summary.points),
    }
    found: Figures = {}
    for name, rows in chosen.items():
        if rows.loc[rows["family"] != DENSE, "family"].nunique() < 2:
            continue
        part = dataclasses.replace(summary, points=rows)
        panels = [panel(part, AXES[axis]) for axis in ("speedup", "density")]
        panels = [one for one in panels if len(one.points)]
        if panels:
            found[name] = (panels, families(part))
    return found


def _blocks(points: pd.DataFrame) -> pd.DataFrame:
    """Block sizes against each other: nothing else about these families differs."""
    plain = points["family"].str.fullmatch(PLAIN.pattern)
    return points.loc[plain | (points["family"] == DENSE)]


def _teachers(points: pd.DataFrame) -> pd.DataFrame:
    """Families that were taught by the usual teacher and by a large one."""
    names = set(points["family"])
    both = {name for name in names if name + LARGE in names}
    return points.loc[points["family"].isin({DENSE, *both, *(name + LARGE for name in both)})]


def _speeds(points: pd.DataFrame) -> pd.DataFrame:
    """The family that was pruned at most speeds, a curve for each: epochs of the ramp."""
    known: pd.DataFrame = points[np.isfinite(points["ramp_epochs"]) & (points["family"] != DENSE)]
    known = known[~known["family"].str.contains(VARIED.pattern)]
    if known.empty:
        return known
    speeds = known.assign(ramp=known["ramp_epochs"].round().astype(int))
    ranks = speeds.groupby("family")["ramp"].agg(["nunique", "size"])
    best = ranks.sort_values(["nunique", "size"], kind="stable").index[-1]
    rows = speeds[speeds["family"] == best]
    labels = [f"{best}, {ramp} epoch{'s' * (ramp != 1)} of pruning" for ramp in rows["ramp"]]
    named: pd.DataFrame = rows.assign(family=labels).drop(columns="ramp")
    return named
