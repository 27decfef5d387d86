"""Records -> DataFrame, one row a checkpoint; units are in the column names.

The latency columns are those of one cell of the grid: the first one measured, unless `cell` picks
another. Everything a filter, a figure or a table needs is a column here.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.family import DENSE, Recipe, recipe
from prune.records import Latency, Record
from prune.store import flat

Cell = Callable[[Latency], bool]

TEXTS = (
    *("run_id", "group", "experiment", "task", "metric", "model", "attention", "ffn", "block"),
    *("algorithm", "teacher", "command", "path", "stage", "family", "artifact", "runtime"),
    *("variant", "source", "sha256"),
)
NUMBERS = (
    *("seed", "penalty", "target_density", "epochs", "ramp_epochs", "seconds", "steps"),
    *("quality", "dense_quality", "nonzero_density", "stored_density", "model_density"),
    *("size_mb", "dense_size_mb", "heads", "neurons", "position"),
    *("batch", "length", "dense_ms", "pruned_ms", "speedup", "speedup_low", "speedup_high"),
)
COLUMNS = (*TEXTS, *NUMBERS)
_FIRST = ("run_id", "task", "family", "quality", "speedup", "speedup_low", "speedup_high")
_AS_STORED = {  # ours -> that of `prune.store.flat`, where they differ
    **{"group": "group_name", "source": "published", "dense_quality": "reference"},
    **{f"{name}_density": f"density_{name}" for name in ("nonzero", "stored", "model")},
}


def frame(records: Iterable[Record], cell: Cell | None = None) -> pd.DataFrame:
    """`from_columns` for records in memory. Runs without a checkpoint give no row."""
    return from_columns(flat.columns(records), cell)


def from_columns(columns: Mapping[str, list[Any]], cell: Cell | None = None) -> pd.DataFrame:
    """One row a checkpoint, `COLUMNS` and one column for each quality metric.

    cell: which latency cell to take, the first that it accepts; a checkpoint without such a cell is
    left out. Missing numbers are NaN.
    """
    data: dict[str, Any] = {**columns, **_labels(columns)}
    if cell:
        data |= _picked(data["cells"], cell)
    table = pd.DataFrame(
        {name: _text(data[_AS_STORED.get(name, name)]) for name in TEXTS}
        | {name: _number(data[_AS_STORED.get(name, name)]) for name in NUMBERS}
        | _qualities(data["qualities"])
    )
    dense = (table["stage"] == DENSE) & table["dense_quality"].isna()
    table.loc[dense, "dense_quality"] = table.loc[dense, "quality"]
    for name in ("size_mb", "dense_size_mb"):  # 0: nobody published it
        table[name] = table[name].where(table[name] > 0)
    if cell:
        table = table[np.asarray(data["picked"], dtype=bool)].reset_index(drop=True)
    return table[[*_FIRST, *(c for c in table.columns if c not in _FIRST)]]


def _labels(columns: Mapping[str, list[Any]]) -> dict[str, list[str]]:
    """What is said about how each network was pruned; there are few recipes, and many points."""
    known: dict[str, Recipe] = {text: recipe(json.loads(text)) for text in set(columns["recipe"])}
    found = [known[text] for text in columns["recipe"]]
    return {
        "attention": [one.attention for one in found],
        "ffn": [one.ffn for one in found],
        "block": [one.block for one in found],
        "algorithm": [one.algorithm for one in found],
        "family": [one.family(s) for one, s in zip(found, columns["stage"], strict=True)],
    }


def _picked(cells: list[str], accepts: Cell) -> dict[str, list[Any]]:
    """The headline columns of the first cell of each point that is accepted; whether there is."""
    empty = [None] * len(flat.HEADLINE)
    rows: list[list[Any]] = []
    picked = []
    for text in cells:
        found = next((c for c in json.loads(text) if accepts(_latency(c))), None)
        rows.append(found or empty)
        picked.append(found is not None)
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in empty]
    return {**dict(zip(flat.HEADLINE, columns, strict=True)), "picked": picked}


def _latency(values: list[Any]) -> Latency:
    batch, length, runtime, dense_ms, pruned_ms, speedup, low, high = values
    low, high = (math.nan if bound is None else bound for bound in (low, high))
    return Latency(batch, length, runtime, dense_ms, pruned_ms, speedup, low, high, 0)


def _qualities(texts: list[str]) -> dict[str, Any]:
    """A column for each metric that any point has; a column of ours keeps its name."""
    found: list[dict[str, float]] = json.loads(f"[{','.join(texts)}]")
    names = dict.fromkeys(name for quality in found for name in quality)
    return {
        name: np.array([quality.get(name, math.nan) for quality in found], dtype=float)
        for name in names
        if name not in COLUMNS
    }


def _text(values: list[Any]) -> Any:
    return pd.array(["" if value is None else value for value in values], dtype="str")


def _number(values: list[Any]) -> Any:
    return np.array(values, dtype=float)
