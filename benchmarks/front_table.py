"""The tables of docs/cost.md: each of a `recorded/front_cost_NAME.json`, a line a way."""

import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from common import RECORDED

PLACE = re.compile(
    r"(<!-- (front_cost_\w+): made by benchmarks/table.py -->\n).*?(<!-- /front -->)", re.DOTALL
)


def updated(page: str, recorded: Path = RECORDED) -> str:
    """The page, with the table of its record between each two comments."""

    def filled(place: re.Match[str]) -> str:
        content = json.loads((recorded / f"{place[2]}.json").read_text())
        return f"{place[1]}\n{table(content['fronts'])}\n\n{place[3]}"

    return PLACE.sub(filled, page)


def table(fronts: Sequence[dict[str, Any]]) -> str:
    """Of several seeds the mean, and in brackets the lowest and the highest."""
    densities = sorted(fronts[0]["quality"], key=float, reverse=True)
    lines = [
        ["", "fine-tunings a point", "steps, all", *densities, "mean"],
        ["---"] * (4 + len(densities)),
    ]
    for way in dict.fromkeys(front["way"] for front in fronts):
        same = [front for front in fronts if front["way"] == way]
        quality = [[front["quality"][density] for front in same] for density in densities]
        each = _span([front["each"] for front in same], "{:.2f}".format)
        (steps,) = {front["steps"] for front in same}
        mean = statistics.mean(value for values in quality for value in values)
        lines.append([way, each, f"{steps:,}", *map(_cell, quality), f"{mean:.1f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({_span(values, '{:.1f}'.format)})"


def _span(values: Iterable[float], text: Callable[[float], str]) -> str:
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low}-{high}"
