"""`prune report`: the store -> a table, and with --pareto a folder with pictures and a page."""

import argparse
import json
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from prune.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from analysis.loading import Loaded
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
    from analysis.filters import parse
    from analysis.loading import load
    from analysis.metrics import AXES
    from analysis.summary import summarise

    found = load([parse(text) for text in options.filters])
    if options.compare:
        return show_comparison(found, options)
    summaries = summarise(found.table, AXES[options.x], options.rule)
    paths: list[Path] = []
    if options.pareto:
        paths = write(options, summaries, found, shlex.join(["prune", "report", *argv]))
    show(summaries, options, found.notes, paths)
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
    add("--reference", type=Path, metavar="CSV", help="points of other papers, drawn hollow")
    rules = ("pareto", "staircase")
    what = "what a front is; staircase: as published"
    add("--front", "--rule", dest="rule", choices=rules, default=rules[0], help=what)
    add("--compare", nargs=2, metavar=("A", "B"), help="two sweeps (groups) against each other")
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


def show_comparison(found: "Loaded", options: argparse.Namespace) -> int:
    from analysis.compare import compare, comparison_lines
    from analysis.metrics import AXES

    names = (options.compare[0], options.compare[1])
    tasks = compare(found.table, names, AXES[options.x], options.rule)
    if options.json:
        plain = [{**vars(one), "x": one.x.label, "y": one.y.label} for one in tasks]
        for one in plain:
            one["volumes"] = [None if math.isnan(v) else v for v in one["volumes"]]
        print(json.dumps({"compared": plain, "notes": found.notes}, allow_nan=False))
    elif options.csv:
        from analysis.table import csv_text

        rows = [{"task": one.task, **row} for one in tasks for row in one.budgets]
        print(csv_text(_frame(rows)), end="")
    else:
        lines = [line for one in tasks for line in comparison_lines(one)]
        print("\n".join(lines + found.notes))
    return 0


def _frame(rows: list[dict[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows)


def write(
    options: argparse.Namespace, summaries: "list[Summary]", found: "Loaded", command: str
) -> list[Path]:
    from analysis.folder import write_report
    from analysis.page_data import page_data
    from analysis.references import read_references
    from analysis.table import csv_text

    references = read_references(options.reference) if options.reference else {}
    data = page_data(summaries, found.overview, references)
    text = csv_text(all_points(summaries))
    return write_report(options.out, summaries, text, data, command, found.notes)


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
