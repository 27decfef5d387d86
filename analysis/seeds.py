"""Runs that differ in their seed alone, as one point with error bars."""

import numpy as np
import pandas as pd

from analysis.family import DENSE
from analysis.metrics import Metric

COLUMNS = ["variant", "family", "run_id", "seeds", "quality", "quality_std", "x", "x_std"]


def over_seeds(points: pd.DataFrame, x: Metric) -> pd.DataFrame:
    """COLUMNS, one row a setting that was run with two seeds or more, best known first.

    Means and sample standard deviations (n - 1) of the quality and of `x`; `run_id` is that of the
    lowest seed. Checkpoints of one run count once: the last of them.
    """
    columns = ["quality", x.column, "seed"]
    rows = points[np.isfinite(points[columns].to_numpy(dtype=float)).all(axis=1)]
    rows = rows[(rows["family"] != DENSE) & rows["variant"].duplicated(keep=False)]
    keys = ["variant", "family", "seed"]
    rows = rows.sort_values([*keys, "steps"]).drop_duplicates(keys, keep="last")
    groups = rows.groupby(["variant", "family"], sort=False)
    found: pd.DataFrame = groups.agg(
        run_id=("run_id", "first"),
        seeds=("seed", "size"),
        quality=("quality", "mean"),
        quality_std=("quality", "std"),
        x=(x.column, "mean"),
        x_std=(x.column, "std"),
    ).reset_index()
    several: pd.DataFrame = found.loc[found["seeds"] > 1, COLUMNS].reset_index(drop=True)
    return several


def seed_lines(seeds: pd.DataFrame, x: Metric, y: Metric, most: int = 5) -> list[str]:
    """`over 3 seeds: F1 87.1 +- 0.2, speedup 1.52x +- 0.01, hybrid 32x32 (7f3a91c2)`"""
    best = seeds.sort_values("quality", ascending=not y.higher).head(most)
    found = [
        f"over {row['seeds']} seeds: {y.label} {y.show(row['quality'])} +- "
        f"{row['quality_std']:.2f}, {x.label} {x.show(row['x'])} +- {row['x_std']:.3g}, "
        f"{row['family']} ({row['run_id']})"
        for row in best.to_dict("records")
    ]
    left = len(seeds) - len(best)
    return [*found, f"and {left} more settings with several seeds"] if left else found
