"""Points of other papers, from a CSV file: drawn hollow, each with the harness its speed is from.

Columns: task, name, metric, value, density, speedup, how_speed_was_measured, source; others are
left alone, and density or speedup may be empty.
"""

import csv
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from prune.errors import MissingInputError

NEEDED = {"task", "name", "metric", "value", "density", "speedup", "how_speed_was_measured"}


def read_references(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Task -> its points, as the page and the figures draw them.

    Raises MissingInputError, one line with the line number, for a file that is none of these.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise MissingInputError(f"cannot read the reference points {path}: {error}") from error
    rows = csv.DictReader(text.splitlines())
    if missing := NEEDED - set(rows.fieldnames or ()):
        raise MissingInputError(
            f"{path} has no reference points: it lacks the columns {', '.join(sorted(missing))}"
        )
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        try:
            point = _point(row)
        except (TypeError, ValueError) as error:
            raise MissingInputError(f"{path}, line {rows.line_num}: {error}") from error
        found[str(row["task"])].append(point)
    return dict(found)


def _point(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {"quality": row["value"], "density": row["density"], "speedup": row["speedup"]}
    values = {name: float(text) for name, text in numbers.items() if text}
    if "quality" not in values or not all(map(math.isfinite, values.values())):
        raise ValueError(f"{row['name']}: quality, density and speedup must be finite numbers")
    return {
        **values,
        "name": row["name"],
        "metric": row["metric"],
        "harness": row["how_speed_was_measured"],
        "source": row.get("source") or "",
    }
