"""Summaries -> one page that needs nothing else: no network, no other file, no server.

Everything that comes from a record is escaped, here or in the script; a policy inside the page
forbids all loading.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from analysis.assets import plotly, script, style
from analysis.metrics import AXES
from analysis.summary import Summary
from analysis.table import budget_cells, headline

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
SELECTS = ("task", "y", "x", "rule", "algorithm", "block", "teacher", "model", "group")
LABELS = {"y": "up", "x": "across", "rule": "front"}
CHECKS = {
    "only": ("only the front in the table", False),
    "seeds": ("means over seeds", True),
    "others": ("published elsewhere", True),
}


def page(
    summaries: Sequence[Summary],
    data: Mapping[str, Any],
    command: str,
    notes: Sequence[str] = (),
) -> str:
    """The whole page.

    data: of `page_data`. command: the line that makes this page again.
    """
    title = f"Pareto report: {', '.join(one.task for one in summaries)}"
    remarks = "".join(f"<p class=soft>{escape(note)}</p>" for note in notes)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style()}</style>\n</head>\n<body>\n"
        "<header><h1>Pareto report</h1>\n"
        f"<p class=soft><code>{escape(command)}</code> · all points: "
        '<a href="points.csv">points.csv</a> · fronts as text: '
        f'<a href="front.md">front.md</a></p>\n{remarks}</header>\n<main>\n'
        f"{_controls(summaries[0].rule)}{_BODY}{''.join(map(_budgets, summaries))}</main>\n"
        f'<script type="application/json" id="data">{embedded(data)}</script>\n'
        f"<script>{plotly()}</script>\n<script>{script()}</script>\n</body>\n</html>\n"
    )


def embedded(data: Mapping[str, Any]) -> str:
    """JSON inside of an element: no `<` of a record can end it or begin another."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _controls(rule: str) -> str:
    selects = []
    for name in SELECTS:
        inside = ""
        if name == "rule":
            names = {"pareto": "Pareto", "staircase": "staircase, as published"}
            inside = "".join(
                f'<option value="{key}"{" selected" * (key == rule)}>{label}</option>'
                for key, label in names.items()
            )
        label = LABELS.get(name, name)
        selects.append(f'<label>{label}<select id="{name}">{inside}</select></label>')
    search = '<label>search<input type="search" id="search" placeholder="words"></label>'
    checks = "".join(
        f'<label class="check"><input type="checkbox" id="{key}"{" checked" * on}>{text}</label>'
        for key, (text, on) in CHECKS.items()
    )
    return (
        f'<div class="tools" role="group" aria-label="What is shown">{"".join(selects)}{search}'
        f'{checks}</div>\n<fieldset id="families"></fieldset>\n<ul id="key"></ul>\n'
    )


_BODY = """<p id="count" aria-live="polite"></p>
<div id="chart" role="img"></div>
<p class="soft" id="about"></p><div class="soft" id="notes"></div>
<section id="details" hidden aria-live="polite"><h2 id="title"></h2>
<p><button type="button" id="copy">copy the command</button>
<button type="button" id="close">close</button> <span id="status" role="status"></span></p>
<dl id="facts"></dl><dl id="numbers"></dl>
<div class="plots"><div id="heads"></div><div id="widths"></div><div id="training"></div></div>
<p class="soft" id="nocurves">No training curves of this run are in the page.</p></section>
<h2>Points</h2><p class="soft" id="shown"></p>
<div class="wide" id="list" tabindex="0">
<table id="points"><thead></thead><tbody></tbody></table></div>
"""


def _budgets(summary: Summary) -> str:
    if summary.budgets.empty:
        return ""
    head, *body = budget_cells(summary)
    rows = "".join(f"<tr>{_all('td', row)}</tr>" for row in body)
    axis = next((key for key, metric in AXES.items() if metric == summary.x), "")
    return (
        f"<h2>The best {escape(summary.y.label)} of {escape(summary.task)} within a budget of "
        f'{escape(axis)}</h2><p class=soft>{escape(headline(summary))}</p><div class="wide">'
        f"<table><thead><tr>{_all('th', head)}</tr></thead><tbody>{rows}</tbody></table></div>\n"
    )


def _all(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)
