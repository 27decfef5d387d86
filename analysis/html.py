"""Summaries and pictures -> one page that needs nothing else: no network, no other file.

Everything that comes from a record is escaped; a policy inside the page forbids all loading.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from analysis.assets import SCRIPT, STYLE
from analysis.metrics import AXES, Metric
from analysis.pareto import oriented
from analysis.summary import Summary
from analysis.table import about, budget_cells, dense_text, footnotes, headline, speedup_text

LARGEST = 2000  # rows of one table; a browser stays quick, and points.csv has all
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
Row = dict[Any, Any]


def page(
    summaries: Sequence[Summary],
    pictures: Mapping[str, str],
    colours: Mapping[str, Mapping[str, str]],
    themed: Mapping[str, str],
    command: str,
    notes: Sequence[str] = (),
) -> str:
    """The whole page.

    pictures: name of a summary -> SVG text. colours: name -> family -> its colour in that picture.
    themed: colours of the pictures that follow the page's theme -> the CSS variable to use instead.
    command: the line that makes this page again.
    """
    sections = [
        _section(summary, _inline(pictures[summary.name], themed), colours[summary.name])
        for summary in summaries
    ]
    remarks = "".join(f"<p class=soft>{escape(note)}</p>" for note in notes)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Pareto report: {escape(', '.join(s.task for s in summaries))}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>Pareto report</h1>\n"
        f"<p class=soft><code>{escape(command)}</code> · all points: "
        '<a href="points.csv">points.csv</a> · fronts as text: '
        '<a href="front.md">front.md</a></p>\n'
        f"{remarks}\n{''.join(sections)}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _section(summary: Summary, picture: str, colours: Mapping[str, str]) -> str:
    notes = "".join(f"<p class=soft>{escape(note)}</p>" for note in footnotes(summary))
    label = f"{summary.y.label} of {headline(summary)}"
    return (
        f"<section>\n<h2>{escape(summary.task)}</h2>\n"
        f"<p>{summary.pruned} pruned points, {len(summary.front)} on the front, "
        f"{escape(dense_text(summary) or 'no dense reference')}</p>\n"
        f"<p class=soft>{escape(about(summary))}</p>{notes}\n"
        f'<figure role="img" aria-label="{escape(label)}">{picture}</figure>\n'
        f"{_budgets(summary)}{_points(summary, colours)}\n</section>\n"
    )


def _budgets(summary: Summary) -> str:
    if summary.budgets.empty:
        return ""
    head, *body = budget_cells(summary)
    rows = "".join(f"<tr>{_all('td', row)}</tr>" for row in body)
    return (
        f"<h3>The best {escape(summary.y.label)} within a budget</h3><div class=wide>"
        f"<table class=budgets><thead><tr>{_all('th', head)}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>\n"
    )


def _points(summary: Summary, colours: Mapping[str, str]) -> str:
    rows = summary.points
    order = np.lexsort((-oriented(rows, summary.y), ~rows["on_front"].to_numpy(dtype=bool)))
    shown = rows.iloc[order[:LARGEST]].to_dict("records")
    columns = _columns(summary.y, colours)
    head = "".join(
        f'<th scope="col"><button type="button">{escape(name)}</button></th>' for name in columns
    )
    body = "".join(_row(row, list(columns.values())) for row in shown)
    left = len(rows) - len(shown)
    more = f"<span class=soft>the best of {len(rows)}; all are in points.csv</span>" if left else ""
    return (
        "<h3>Points</h3><div class=tools>"
        '<input type="search" placeholder="words in a row" aria-label="Filter the rows">'
        '<label><input type="checkbox"> only the front</label>'
        f"<span class='soft shown'></span>{more}</div>\n<div class=wide><table class=points>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def _row(row: Row, columns: Sequence[Callable[[Row], str]]) -> str:
    kind = " class=front" if row["on_front"] else ""
    return f"<tr{kind}>{''.join(cell(row) for cell in columns)}</tr>\n"


def _columns(y: Metric, colours: Mapping[str, str]) -> dict[str, Callable[[Row], str]]:
    def named(row: Row) -> str:
        colour = escape(colours.get(row["family"], "var(--soft)"))
        dot = f'<span class=dot style="background:{colour}"></span>'
        return f"<td>{dot}{escape(str(row['family']))}</td>"

    def speedup(row: Row) -> str:
        return _cell(row["speedup"], speedup_text(row))

    return {
        y.label: lambda row: _cell(row["quality"], y.show(row["quality"])),
        "speedup": speedup,
        **{metric.label: _shown(metric) for metric in (*AXES.values(),) if metric.unit != "x"},
        "family": named,
        "heads": lambda row: _cell(row["heads"], f"{row['heads']:.0f}"),
        "neurons": lambda row: _cell(row["neurons"], f"{row['neurons']:.0f}"),
        "seed": lambda row: _cell(row["seed"], f"{row['seed']:.0f}"),
        "run": lambda row: f"<td><code>{escape(str(row['run_id']))}</code></td>",
        "tie with": lambda row: f"<td><code>{escape(str(row['tie']))}</code></td>",
        "command": _command,
    }


def _command(row: Row) -> str:
    text = escape(str(row["command"]))
    return (
        f'<td class=command title="{text}"><button type="button">copy</button>'
        f"<code>{text}</code></td>"
    )


def _shown(metric: Metric) -> Callable[[Row], str]:
    return lambda row: _cell(row[metric.column], metric.show(row[metric.column]))


def _cell(value: float, text: str) -> str:
    if math.isnan(value):
        return '<td data-v=""></td>'
    return f'<td data-v="{value:.6g}">{escape(text)}</td>'


def _all(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)


def _inline(svg: str, themed: Mapping[str, str]) -> str:
    """An SVG file as part of the page: no prologue, no size of its own, colours of the theme."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg height="[^"]*" ', r"<svg \1", svg)
    svg = re.sub(r'\sid="[a-zA-Z]+[a-zA-Z0-9.]*_\d+"', "", svg)  # the same ids in every picture
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", svg)
    for colour, variable in themed.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
