"""Records -> DataFrame, one row a checkpoint; units are in the column names.

The latency columns are those of one cell of the grid: the first one measured, unless `cell` picks
another. A checkpoint that was also timed in the block-sparse runtime has a second row, of another
family. Everything a filter, a figure or a table needs is a column here.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.family import BLOCK_SPARSE, DENSE, Recipe, recipe, timed_in
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
_RUNTIME = flat.HEADLINE.index("runtime")
_OWN = f'"{BLOCK_SPARSE}"'  # in the JSON of cells
_FIRST = ("run_id", "task", "family", "quality", "speedup", "speedup_low", "speedup_high")
_AS_STORED = {  # ours -> that of `prune.store.flat`, where they differ
    **{"group": "group_name", "source": "published", "dense_quality": "reference"},
    **{f"{name}_density": f"density_{name}" for name in ("nonzero", "stored", "model")},
}


def frame(records: Iterable[Record], cell: Cell | None = None) -> pd.DataFrame:
    """`from_columns` for records in memory. Runs without a checkpoint give no row."""
    return from_columns(flat.columns(records), cell)


def from_columns(columns: Mapping[str, list[Any]], cell: Cell | None = None) -> pd.DataFrame:
    """One row a checkpoint (or two), `COLUMNS` and one column for each quality metric.

    cell: which latency cell to take, the first that it accepts; a checkpoint without such a cell is
    left out. Missing numbers are NaN.
    """
    data: dict[str, list[Any]] = {**columns, **_labels(columns)}
    qualities = _qualities(columns["qualities"])
    if cell or any(_OWN in text for text in columns["cells"]):
        rows, picked = _chosen(data, cell)
        data = {name: [values[row] for row in rows] for name, values in data.items()} | picked
        qualities = {name: values[np.array(rows, dtype=int)] for name, values in qualities.items()}
    of = zip(data["family"], data["runtime"], strict=True)
    data["family"] = [timed_in(family, runtime) for family, runtime in of]
    table = pd.DataFrame(
        {name: _text(data[_AS_STORED.get(name, name)]) for name in TEXTS}
        | {name: _number(data[_AS_STORED.get(name, name)]) for name in NUMBERS}
        | qualities
    )
    dense = (table["stage"] == DENSE) & table["dense_quality"].isna()
    table.loc[dense, "dense_quality"] = table.loc[dense, "quality"]
    for name in ("size_mb", "dense_size_mb"):  # 0: nobody published it
        table[name] = table[name].where(table[name] > 0)
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


def _chosen(
    columns: Mapping[str, list[Any]], accepts: Cell | None
) -> tuple[list[int], dict[str, list[Any]]]:
    """Which rows, and their headline columns: of each checkpoint the first cell that is accepted,
    and the first in the runtime that is a family of its own. Without `accepts` the headline is the
    first cell already.
    """
    rows: list[int] = []
    headlines: list[list[Any]] = []
    for row, text in enumerate(columns["cells"]):
        if accepts is None and _OWN not in text:
            found = [[columns[name][row] for name in flat.HEADLINE]]
        else:
            found = _firsts(json.loads(text), accepts, apart=columns["family"][row] != DENSE)
        rows += [row] * len(found)
        headlines += found
    picked = [list(column) for column in zip(*headlines, strict=True)]
    return rows, dict(zip(flat.HEADLINE, picked or [[] for _ in flat.HEADLINE], strict=True))


def _firsts(cells: list[list[Any]], accepts: Cell | None, apart: bool) -> list[list[Any]]:
    """The first cell that is accepted, and the first of the other kind where they are `apart`."""
    found: dict[bool, list[Any]] = {}
    for cell in cells:
        if accepts is None or accepts(_latency(cell)):
            found.setdefault(apart and cell[_RUNTIME] == BLOCK_SPARSE, cell)
    return list(found.values())


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
