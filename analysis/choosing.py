"""Which checkpoint to ship: pure functions over the frame, with margins for noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.deploy import Shipped
from analysis.metrics import Metric
from prune.errors import MissingInputError
from prune.records import readable


def recommend(
    rows: pd.DataFrame,
    y: Metric,
    max_drop: float,
    latency_ms: float | None = None,
    exported: bool = False,
) -> dict[str, Any]:
    """The checkpoint to ship, and what the next faster one would cost.

    rows: `candidates`. exported: the latency that is asked for is one in another runtime, so where
    none is fast enough in its own the fastest is tried. Raises MissingInputError, naming the
    nearest miss, if none fits with its margin for noise.
    """
    fits = within = rows[rows["drop"] + y.noise <= max_drop + 1e-9]
    if latency_ms is not None:
        fits = within[within["slow_ms"] <= latency_ms]
        if fits.empty and exported:
            fits, latency_ms = within, None
    if fits.empty:
        raise MissingInputError(_nearest(rows, y, max_drop, latency_ms))
    if latency_ms is not None:  # of those that tie with the best, the fastest
        fits = fits[fits["drop"] <= fits["drop"].min() + y.noise]
    best = fits.sort_values(["pruned_ms", "drop"]).iloc[0]
    faster = rows[rows["pruned_ms"] < best["pruned_ms"]].sort_values(["drop", "pruned_ms"])
    numbers = ("quality", "dense_quality", "drop", "pruned_ms", "slow_ms", "speedup", "size_mb")
    return {
        **{k: str(best[k]) for k in ("run_id", "family", "command", "task", "metric", "runtime")},
        "model": str(Path(best["path"], best["artifact"])),
        **{k: float(best[k]) for k in numbers},
        **{k: int(best[k]) for k in ("batch", "length")},
        "noise": y.noise,
        "next": _price(best, faster.iloc[0]) if len(faster) else None,
    }


def _price(best: "pd.Series[Any]", other: "pd.Series[Any]") -> dict[str, Any]:
    """What another one would cost and save."""
    return {
        "run_id": str(other["run_id"]),
        "costs": float(other["drop"] - best["drop"]),
        "saves_ms": float(best["pruned_ms"] - other["pruned_ms"]),
    }


def candidates(table: pd.DataFrame, y: Metric) -> pd.DataFrame:
    """Checkpoints of ours with all that is asked of them: `drop` against dense, and `slow_ms`.

    Times are those that the speedups make of the median dense time of their model and cell.
    """
    own = table[(table["source"] == "") & (table["stage"] != "dense")]
    cells = own.groupby(["model", "batch", "length", "runtime"])
    dense_ms = cells["dense_ms"].transform("median")
    sign = 1.0 if y.higher else -1.0
    rows = own.assign(
        drop=sign * (own["dense_quality"] - own["quality"]),
        pruned_ms=dense_ms / own["speedup"],
        slow_ms=dense_ms / own["speedup_low"].fillna(own["speedup"]),
    )
    known = np.isfinite(rows[["drop", "pruned_ms", "slow_ms"]].to_numpy(dtype=float)).all(axis=1)
    if not known.any():
        raise MissingInputError(
            "no checkpoint of yours has a dense reference and a latency: prune train, prune sweep"
        )
    found: pd.DataFrame = rows.loc[known]
    return found


def missed(file: Shipped, y: Metric, max_drop: float, latency_ms: float | None) -> list[str]:
    """What of it the exported file does not keep."""
    wrong = []
    if file.drop + y.noise > max_drop + 1e-9:
        wrong.append(f"a drop of {file.drop:.1f} {y.label} (with {y.noise:g} for noise, "
                     f"at most {max_drop:g})")  # fmt: skip
    if latency_ms is not None and file.slow_ms > latency_ms:
        wrong.append(f"up to {readable(file.slow_ms)} ms (at most {latency_ms:g})")
    return wrong


def next_candidate(
    rows: pd.DataFrame,
    y: Metric,
    found: dict[str, Any],
    file: Shipped | None,
    max_drop: float,
    latency_ms: float | None,
) -> dict[str, Any] | None:
    """What to try instead: the fastest that is better if the file lost too much, else the best
    of those within the drop that are faster; None if there is none."""
    lost = file is not None and file.drop + y.noise > max_drop + 1e-9
    if lost:
        left = rows[rows["drop"] < found["drop"]].sort_values("pruned_ms")
    else:
        left = rows[rows["pruned_ms"] < found["pruned_ms"]]
        left = left[left["drop"] + y.noise <= max_drop + 1e-9].sort_values(["drop", "pruned_ms"])
    if left.empty:
        return None
    row = left.iloc[0]
    return {
        **{k: str(row[k]) for k in ("run_id", "family")},
        **{k: float(row[k]) for k in ("quality", "drop", "pruned_ms")},
    }


def _nearest(rows: pd.DataFrame, y: Metric, max_drop: float, latency_ms: float | None) -> str:
    asked = f"a drop of {max_drop:g} {y.label} (with {y.noise:g} for noise)"
    best = rows.sort_values("drop").iloc[0]
    text = f"the best has {best['drop']:.1f} at {best['pruned_ms']:.1f} ms ({best['run_id']})"
    if latency_ms is None:
        return f"none of {len(rows)} checkpoints is within {asked}; {text}"
    fast = rows.sort_values("slow_ms").iloc[0]
    return (
        f"none of {len(rows)} checkpoints is within {asked} and {latency_ms:g} ms; {text}, the "
        f"fastest {fast['slow_ms']:.1f} ms with a drop of {fast['drop']:.1f} ({fast['run_id']})"
    )
