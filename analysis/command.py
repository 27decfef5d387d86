"""`prune report`: the store -> a table, and with --pareto a folder with pictures and a page."""

import argparse
import contextlib
import gc
import json
import math
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from prune.errors import MissingInputError, UsageError, unknown
from prune.records import Record

if TYPE_CHECKING:
    import pandas as pd

    from analysis.filters import Filter
    from analysis.summary import Summary

HELP = """Tables and pictures of what the runs in the store reached. Loads no model.

FILTERS are FIELD OP VALUE, all of them must hold. A field is a column of points.csv.
  task=squad  group=a,b  seed!=0     equal, or one of several; ranges as density=..0.5
  'speedup>=1.3'  'density<0.5'      numbers (quoted, or the shell takes < and > for itself)
  family~hybrid                      a word starts with it
  batch=1 length=128                 which latency cell to show; without: the first one measured
"""
EXAMPLE = "Example: prune report --pareto task=toy 'speedup>=1.0' --out report"


def main(argv: Sequence[str]) -> int:
    """Run `prune report` with these arguments; 0, or an error of prune.errors."""
    options = parser().parse_intermixed_args(list(argv))
    # Late, because they import pandas: `prune report --help` answers at once.
    from analysis.filters import cell_of, parse, select
    from analysis.frame import frame
    from analysis.metrics import AXES
    from analysis.summary import summarise

    filters = [parse(text) for text in options.filters]
    with uncollected():
        records = load()
        table = frame(records, cell_of(filters))
    chosen = select(table, filters)
    if chosen.empty:
        raise MissingInputError(nothing(records, filters))
    summaries = summarise(chosen, AXES[options.x], options.rule)
    notes = [text for text in [unfinished(records)] if text]
    paths: list[Path] = []
    if options.pareto:
        paths = write(options.out, summaries, shlex.join(["prune", "report", *argv]), notes)
    show(summaries, options, notes, paths)
    return 0


def parser() -> argparse.ArgumentParser:
    result = _Parser(
        prog="prune report",
        description=HELP,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = result.add_argument
    add("filters", nargs="*", metavar="FILTERS", help="for example task=squad; see above")
    add("--pareto", action="store_true", help="only the front, and write the report's folder")
    add("--out", type=Path, default=Path("report"), metavar="DIR", help="that folder (report)")
    axes = ("speedup", "density", "size", "latency")
    add("--x", choices=axes, default=axes[0], help="what quality is weighed against (speedup)")
    rules = ("pareto", "staircase")
    add("--rule", choices=rules, default=rules[0], help="what a front is; staircase: as published")
    form = result.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV, every column")
    return result


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        wrong = message.removeprefix("unrecognized arguments: ")
        if wrong != message:
            message = unknown("option", wrong.split()[0], self._option_string_actions)
        raise UsageError(f"{message}\nsee: prune report --help")


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Records are many small objects and no cycles: here the collector would double the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def load() -> list[Record]:
    """Every run of the store, also those without a result."""
    from prune.store import Store

    store = Store()
    records = list(store.records())
    if not records:
        raise MissingInputError(
            f"no runs in {store.root} yet; make one with: prune train +experiment=toy"
        )
    return records


def write(out: Path, summaries: "list[Summary]", command: str, notes: list[str]) -> list[Path]:
    from analysis.folder import write_report
    from analysis.table import csv_text

    return write_report(out, summaries, csv_text(all_points(summaries)), command, notes)


def show(
    summaries: "list[Summary]", options: argparse.Namespace, notes: list[str], paths: list[Path]
) -> None:
    """Print what was asked for; beside CSV and JSON the remarks go to stderr."""
    from analysis.table import csv_text

    if options.json:
        print(json.dumps(as_json(summaries, options.pareto, notes, paths), allow_nan=False))
    elif options.csv:
        table = all_points(summaries)
        print(csv_text(table[table["on_front"]] if options.pareto else table), end="")
        print(*notes, sep="\n", end="\n" if notes else "", file=sys.stderr)
    else:
        print("\n".join(as_text(summaries, options.pareto, notes, paths)))


def as_text(
    summaries: "list[Summary]", pareto: bool, notes: list[str], paths: list[Path]
) -> list[str]:
    from analysis.pareto import oriented
    from analysis.table import footnotes, headline, lines

    found = []
    for summary in summaries:
        order = oriented(summary.points, summary.y).argsort(kind="stable")[::-1]
        rows = summary.front if pareto else summary.points.iloc[order]
        found += [headline(summary), *lines(summary, rows)]
        found += [f"  {note}" for note in footnotes(summary)]
    if paths:
        pictures = [f"pareto_{one.name}.{form}" for one in summaries for form in ("png", "svg")]
        named = [
            path for path in paths if path.suffix in (".html", ".csv") or path.name in pictures
        ]
        notes = [*notes, " · ".join(str(path) for path in named)]
    return found + notes


def as_json(
    summaries: "list[Summary]", pareto: bool, notes: list[str], paths: list[Path]
) -> dict[str, Any]:
    from analysis.table import plain_rows

    tasks = [
        {
            "task": summary.task,
            "metric": summary.metric,
            "x": summary.x.column,
            "rule": summary.rule,
            "pruned_points": summary.pruned,
            "noise": summary.y.noise,
            "dense": plain_rows(summary.dense),
            "hypervolume": None if math.isnan(summary.volume) else summary.volume,
            "points": plain_rows(summary.front if pareto else summary.points),
            "notes": summary.notes,
        }
        for summary in summaries
    ]
    return {"tasks": tasks, "notes": notes, "files": [str(path) for path in paths]}


def all_points(summaries: "list[Summary]") -> "pd.DataFrame":
    import pandas as pd

    return pd.concat([summary.points for summary in summaries], ignore_index=True)


def unfinished(records: Sequence[Record]) -> str:
    """`3 runs without a result: 1 running, 2 interrupted`, or nothing."""
    count = Counter(record.status for record in records if not record.points)
    parts = ", ".join(f"{number} {status}" for status, number in sorted(count.items()))
    runs = "run" if count.total() == 1 else "runs"
    return f"{count.total()} {runs} without a result: {parts}" if count else ""


def nothing(records: Sequence[Record], filters: "Sequence[Filter]") -> str:
    """Why there is nothing to report, and what there is."""
    from analysis.frame import frame

    table = frame(records)
    if table.empty:
        return f"{unfinished(records)}; see: prune runs ls"
    asked = " ".join(str(one) for one in filters)
    cells = {(c.batch, c.length) for r in records for p in r.points for c in p.latency}
    there = [f"{name} {_some(table[name])}" for name in ("task", "group", "family")]
    there.append("latency at " + ", ".join(f"{b} x {n}" for b, n in sorted(cells)))
    return f"no point matches {asked}; there are {len(table)}: {'; '.join(there)}"


def _some(column: "pd.Series[Any]", most: int = 8) -> str:
    names = sorted(str(name) for name in column.unique())
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
