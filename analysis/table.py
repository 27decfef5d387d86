"""A summary as text: lines for a terminal, Markdown, CSV and plain objects for JSON."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow.csv import WriteOptions, write_csv

from analysis.metrics import AXES, Metric
from analysis.seeds import seed_lines
from analysis.summary import Summary

LONGEST = 60  # rows a terminal is shown


def headline(summary: Summary) -> str:
    """`squad · 27 pruned points, 6 on the front · dense F1 61.2`"""
    counted = f"{summary.pruned} pruned {_plural('point', summary.pruned)}"
    parts = [summary.task, f"{counted}, {len(summary.front)} on the front", dense_text(summary)]
    return " · ".join(part for part in parts if part)


def dense_text(summary: Summary) -> str:
    several = len(summary.dense) > 1
    found = []
    for model, quality, low, high in summary.dense.itertuples(index=False):
        spread = summary.y.show(low), summary.y.show(high)
        text = summary.y.show(quality) + (f" ({' to '.join(spread)})" if len({*spread}) > 1 else "")
        found.append(f"{model} {text}" if several else text)
    return f"dense {summary.y.label} {', '.join(found)}" if found else ""


def lines(summary: Summary, rows: pd.DataFrame) -> list[str]:
    """A table of `rows` (of the summary's points) for a terminal, its header first.

    Where not all of them are on the front, those that are have a star.
    """
    shown = rows.head(LONGEST)
    table = _aligned([header(summary), *cells(summary, shown)])
    stars = shown["on_front"] & (not rows["on_front"].all())
    marks = ["  ", *("* " if star else "  " for star in stars)]
    found = [mark + line for mark, line in zip(marks, table, strict=True)]
    if stars.any():
        found.append("* on the front")
    if len(rows) > LONGEST:
        found.append(f"  ... and {len(rows) - LONGEST} more: --csv prints them all")
    return found


def header(summary: Summary) -> list[str]:
    axes = [metric.label for metric in _axes(summary)]
    return [summary.y.label, "speedup", *axes, "family", "run", ""]


def cells(summary: Summary, rows: pd.DataFrame) -> list[list[str]]:
    return [
        [
            summary.y.show(row["quality"]),
            speedup_text(row),
            *(metric.show(row[metric.column]) for metric in _axes(summary)),
            *(str(row["family"]), str(row["run_id"])),
            f"tie with {row['tie']}" if row["tie"] else "",
        ]
        for row in rows.to_dict("records")
    ]


def speedup_text(row: dict[Any, Any]) -> str:
    """`1.52x (1.49-1.54)`; without the interval where none was measured."""
    shown = AXES["speedup"].show(row["speedup"])
    low, high = row["speedup_low"], row["speedup_high"]
    return shown if math.isnan(low) or math.isnan(high) else f"{shown} ({low:.2f}-{high:.2f})"


def footnotes(summary: Summary) -> list[str]:
    """How to read the table: ties, then whatever the summary noted."""
    found = []
    if (summary.front["tie"] != "").any():
        noise = f"{summary.y.noise:g} {summary.y.label}"
        found.append(f"tie: within {noise} of that run, which is what seeds alone change")
    return found + seed_lines(summary.seeds, summary.x, summary.y) + summary.notes


def markdown(summaries: Sequence[Summary]) -> str:
    """`front.md`: the fronts, the best within each budget, and how to repeat the runs."""
    blocks = []
    for summary in summaries:
        table = [header(summary), *cells(summary, summary.front)]
        blocks += [f"## {headline(summary)}", about(summary), _markdown_table(table)]
        blocks += [f"- {note}" for note in footnotes(summary)]
        if len(summary.budgets):
            blocks.append(_markdown_table(budget_cells(summary)))
        commands = "\n".join(dict.fromkeys(summary.front["command"]))
        blocks.append(f"```sh\n{commands}\n```" if commands else "")
    return "\n\n".join(["# Pareto fronts", *filter(None, blocks)]) + "\n"


def budget_cells(summary: Summary) -> list[list[str]]:
    """The best quality within each limit of the axis, with a header row."""
    sign = "at least" if summary.x.higher else "at most"
    head = [f"{summary.x.label} {sign}", *header(summary)[:-1]]
    body = cells(summary, summary.budgets)
    limits = [summary.x.show(limit) for limit in summary.budgets["limit"]]
    return [head, *([limit, *row[:-1]] for limit, row in zip(limits, body, strict=True))]


def about(summary: Summary) -> str:
    """What the front is, and how much it holds."""
    rule = {
        "pareto": "the points that no other one beats in both",
        "staircase": "the staircase, from the best down, each better by a factor 1.0005",
    }[summary.rule]
    text = f"{summary.y.label} against {summary.x.label}: {rule}."
    if math.isnan(summary.volume):
        return text
    x, y = summary.corner
    corner = f"{summary.x.label} {summary.x.show(x)}, {summary.y.label} {summary.y.show(y)}"
    return f"{text} Hypervolume {summary.volume:.3f} beyond {corner}."


def csv_text(table: pd.DataFrame) -> str:
    """The frame as CSV: whole numbers as such, others to 6 decimals, nothing for a missing one.

    By Arrow, in a seventh of the time that Python's writer takes: it counts at 100,000 rows.
    """
    columns = {str(name): _arrow(table[name]) for name in table.columns}
    with io.StringIO(newline="") as head, io.BytesIO() as body:
        csv.writer(head, lineterminator="\n").writerow(columns)
        write_csv(pa.table(columns), body, WriteOptions(include_header=False))
        return head.getvalue() + body.getvalue().decode()


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON takes them: a missing number is None."""
    names = [str(name) for name in table.columns]
    columns = ([None if v == "" else v for v in _plain(table[name])] for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(column: "pd.Series[Any]") -> list[Any]:
    if not pd.api.types.is_float_dtype(column):
        return column.tolist()
    values = column.to_numpy()
    known = np.isfinite(values)
    if known.all() and (values == np.round(values)).all():
        return values.astype(np.int64).tolist()
    rounded: list[Any] = np.round(values, 6).tolist()
    if known.all():
        return rounded
    whole = bool((values[known] == np.round(values[known])).all())
    return [(int(v) if whole else v) if k else "" for v, k in zip(rounded, known, strict=True)]


def _arrow(column: "pd.Series[Any]") -> pa.Array:
    if not pd.api.types.is_float_dtype(column):
        return pa.array(column)
    values = np.round(column.to_numpy(), 6)
    known = np.isfinite(values)
    if (values[known] == np.round(values[known])).all():
        return pa.array(np.where(known, values, 0).astype(np.int64), mask=~known)
    return pa.array(values, mask=~known)


def _axes(summary: Summary) -> list[Metric]:
    """The columns after the speedup: density, and the report's own axis if it is another one."""
    own = [summary.x] if summary.x.label not in ("speedup", "density") else []
    return [AXES["density"], *own]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "   ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    dashes = ["---"] * len(rows[0])
    return "\n".join(f"| {' | '.join(row)} |" for row in (escaped[0], dashes, *escaped[1:]))


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
