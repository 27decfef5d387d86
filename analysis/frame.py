"""Records -> DataFrame, one row a checkpoint; units are in the column names.

The latency columns are those of one cell of the grid: the first one measured, unless `cell` picks
another. Everything a filter, a figure or a table needs is a column here.
"""

import math
import shlex
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import pandas as pd

from analysis.family import DENSE, Parts, algorithm, block_shape, family_name, parts, section
from prune.records import Latency, Point, Record

Cell = Callable[[Latency], bool]

_RUN = (
    *("run_id", "group", "experiment", "task", "metric", "model", "seed", "attention", "ffn"),
    *("block", "algorithm", "penalty", "target_density", "teacher", "epochs", "command"),
    *("seconds", "steps", "path"),
)
_POINT = (
    *("stage", "family", "quality", "dense_quality", "nonzero_density", "stored_density"),
    *("model_density", "size_mb", "dense_size_mb", "heads", "neurons", "artifact"),
)
_CELL = (
    *("batch", "length", "runtime", "dense_ms", "pruned_ms"),
    *("speedup", "speedup_low", "speedup_high"),
)
_FIRST = ("run_id", "task", "family", "quality", "speedup", "speedup_low", "speedup_high")
_FROM_CONFIG = ("seed", "penalty", "target_density", "epochs")  # what it says, or NaN
_TEXTS = (
    *("run_id", "group", "experiment", "task", "metric", "model", "attention", "ffn", "block"),
    *("algorithm", "teacher", "command", "path", "stage", "family", "artifact", "runtime"),
)
COLUMNS = (*_RUN, *_POINT, *_CELL)


def frame(records: Iterable[Record], cell: Cell | None = None) -> pd.DataFrame:
    """One row a checkpoint, `COLUMNS` and one column for each quality metric.

    cell: which latency cell to take, the first that it accepts; a checkpoint without such a cell is
    left out. Runs without a checkpoint give no row. Missing numbers are NaN.
    """
    rows: list[tuple[Any, ...]] = []
    qualities: list[dict[str, float]] = []
    for record in records:
        if not record.points:
            continue
        how, ranked_by = parts(record.config), algorithm(record.config)
        run = _run_columns(record, how, ranked_by)
        for point in record.points:
            latency = _latency_columns(point, cell)
            if latency is None:
                continue
            name = family_name(how, ranked_by == "magnitude", point.stage)
            rows.append(run + _point_columns(record, point, name) + latency)
            qualities.append(point.quality)
    columns: list[Any] = [list(column) for column in zip(*rows, strict=True)]
    data = dict(zip(COLUMNS, columns or [[] for _ in COLUMNS], strict=True))
    numbers = [name for name in COLUMNS if name not in (*_TEXTS, *_FROM_CONFIG)]
    table = pd.DataFrame(data).astype(dict.fromkeys(numbers, float))
    for name in _FROM_CONFIG:
        table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
    return _ordered(table, qualities)


def _ordered(table: pd.DataFrame, qualities: list[dict[str, float]]) -> pd.DataFrame:
    names = list(dict.fromkeys(name for quality in qualities for name in quality))
    for name in names:
        if name not in table:
            table[name] = [quality.get(name, math.nan) for quality in qualities]
    return table[[*_FIRST, *(c for c in table.columns if c not in _FIRST)]]


def _run_columns(record: Record, how: Parts, ranked_by: str) -> tuple[Any, ...]:
    config = record.config
    model, teacher = section(config, "model"), section(config, "teacher")
    train, target = section(config, "train"), section(config, "target")
    return (
        *(record.run_id, record.group, record.experiment, record.task, record.metric),
        *(model.get("name", ""), config.get("seed"), *how, block_shape(how), ranked_by),
        *(section(config, "schedule").get("penalty"), target.get("density")),
        *(teacher.get("name", ""), train.get("epochs"), command(record.overrides)),
        *(record.seconds, record.steps, record.path),
    )


def _point_columns(record: Record, point: Point, name: str) -> tuple[Any, ...]:
    quality = point.quality.get(record.metric, math.nan)
    dense = record.reference.get(record.metric, quality if point.stage == DENSE else math.nan)
    density = point.density
    return (
        *(point.stage, name, quality, dense),
        *(density.nonzero, density.stored, density.model, point.size_mb, point.dense_size_mb),
        *(sum(point.heads), sum(point.widths), point.artifact),
    )


def _latency_columns(point: Point, accepts: Cell | None) -> tuple[Any, ...] | None:
    for cell in point.latency:
        if accepts is None or accepts(cell):
            return (
                *(cell.batch, cell.length, cell.runtime, cell.dense_ms, cell.pruned_ms),
                *(cell.speedup, cell.speedup_low, cell.speedup_high),
            )
    return None if accepts else (math.nan, math.nan, "", *[math.nan] * 5)


def command(overrides: Iterable[str]) -> str:
    """The line that repeats a run, quoted for a shell."""
    return " ".join(("prune train", *map(_quoted, overrides)))


_quoted = lru_cache(maxsize=65536)(shlex.quote)  # the runs of a sweep share most of their overrides
