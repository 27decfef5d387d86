"""The store -> the frame of a report, and what has to be said about the runs that are not in it."""

import contextlib
import gc
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prune.errors import MissingInputError

if TYPE_CHECKING:
    import pandas as pd

    from analysis.filters import Filter
    from prune.store import Overview

NAMED = 3  # folders that are skipped by name; of the others the number


@dataclass(frozen=True)
class Loaded:
    """The rows that the filters chose, what they were chosen from, and remarks on the rest."""

    table: "pd.DataFrame"
    everything: "pd.DataFrame"
    overview: "Overview"
    notes: list[str]


def load(filters: "Sequence[Filter]") -> Loaded:
    """Raises MissingInputError where there is no run, or none that the filters accept."""
    from analysis.filters import cell_of, select
    from analysis.frame import from_columns
    from prune.store import Store

    store = Store()
    with uncollected():
        overview = store.overview()
        columns = overview.columns()
        table = from_columns(columns, cell_of(filters))
    unfinished = overview.unfinished()
    if not columns["path"] and not unfinished:
        raise MissingInputError(
            f"no runs in {store.root} yet; make one with: prune train +experiment=toy"
        )
    if not columns["path"]:
        raise MissingInputError(f"{_counted(unfinished)}; see: prune runs ls")
    chosen = select(table, filters)
    if chosen.empty:
        raise MissingInputError(_nothing(from_columns(columns), columns["cells"], filters))
    return Loaded(chosen, table, overview, remarks(unfinished, overview.foreign()))


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Rows are many small objects and no cycles: here the collector would double the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def remarks(unfinished: Sequence[tuple[str, str, str]], foreign: Sequence[str]) -> list[str]:
    """How many runs have no result, and which folders cannot be read and why."""
    broken = [why for _, status, why in unfinished if status == "broken"]
    skipped = [f"skipped: {why}" for why in (*broken, *foreign)]
    notes = [_counted(unfinished)] if unfinished else []
    notes += skipped[:NAMED]
    if len(skipped) > NAMED:
        notes.append(f"skipped {len(skipped) - NAMED} more: prune db rebuild names them")
    return notes


def _counted(unfinished: Sequence[tuple[str, str, str]]) -> str:
    """`3 runs without a result: 1 running, 2 interrupted`."""
    count = Counter(status for _, status, _ in unfinished)
    parts = ", ".join(f"{number} {status}" for status, number in sorted(count.items()))
    return f"{len(unfinished)} run{'s' * (len(unfinished) != 1)} without a result: {parts}"


def _nothing(table: "pd.DataFrame", cells: Sequence[str], filters: "Sequence[Filter]") -> str:
    """Why there is nothing to report, and what there is."""
    asked = " ".join(str(one) for one in filters)
    measured = {(c[0], c[1]) for text in set(cells) for c in json.loads(text)}
    there = [f"{name} {_some(table[name])}" for name in ("task", "group", "family")]
    there.append("latency at " + ", ".join(f"{b} x {n}" for b, n in sorted(measured)))
    return f"no point matches {asked}; there are {len(table)}: {'; '.join(there)}"


def _some(column: "pd.Series[Any]", most: int = 8) -> str:
    names = sorted(str(name) for name in column.unique())
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
