"""The tables of the index, and a run as their rows: what one filters or sorts by, and the JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from prune.records import Record, to_json
from prune.store.flat import HEADLINE, clean, point_columns, run_columns

metadata = sa.MetaData()


def _text(name: str, nullable: bool = False, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=nullable, **options)


def _number(name: str, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float, nullable=nullable)


def _whole(name: str, nullable: bool = False, **options: Any) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, **options)


def _of_run() -> sa.Column[str]:
    return sa.Column("run", sa.ForeignKey("runs.run", ondelete="CASCADE"), primary_key=True)


runs = sa.Table(
    "runs",
    metadata,
    _text("run", primary_key=True),  # GROUP/ID, the folder
    _text("run_id", index=True),
    _text("group_name", index=True),
    _text("status", index=True),
    _text("experiment"),
    _text("task", index=True),
    _text("metric"),
    *(_text(name, nullable=True) for name in ("model", "teacher")),
    *(_text(name, nullable=True) for name in ("attention", "attention_algorithm")),
    *(_text(name, nullable=True) for name in ("ffn", "ffn_algorithm")),
    _whole("seed", nullable=True),
    _text("started"),
    _number("seconds"),
    _whole("steps"),
    sa.Column("error", sa.Text, nullable=False),
    _text("stamp"),  # of the folder, when it was read
    *(sa.Column(name, sa.Text) for name in ("recipe", "command")),
    *(_text(name, nullable=True) for name in ("variant", "published")),
    *(_number(name, nullable=True) for name in ("penalty", "target_density", "epochs")),
    *(_number(name, nullable=True) for name in ("ramp_epochs", "reference")),
    # The Record as JSON. Last: what comes after so long a column is slow to read.
    sa.Column("content", sa.Text, nullable=False, server_default="{}"),
)
points = sa.Table(
    "points",
    metadata,
    _of_run(),
    sa.Column("position", sa.Integer, primary_key=True),
    _text("stage"),
    _number("quality", nullable=True),  # of the run's headline metric
    *(_number(f"density_{name}") for name in ("nonzero", "stored", "model")),
    _number("size_mb"),
    _number("dense_size_mb"),
    *(_whole(name, nullable=True) for name in HEADLINE[:2]),
    _text("runtime", nullable=True),
    *(_number(name, nullable=True) for name in HEADLINE[3:]),
    _text("sha256"),
    *(_whole(name, nullable=True) for name in ("heads", "neurons")),
    _text("artifact", nullable=True),
    *(sa.Column(name, sa.Text) for name in ("qualities", "cells")),
    sa.Column("content", sa.Text, nullable=False, server_default="{}"),
)
metrics = sa.Table(
    "metrics",
    metadata,
    _of_run(),
    _whole("line", primary_key=True),  # of metrics.jsonl, from 0
    _text("name", primary_key=True),
    _whole("step"),
    _number("value"),
)


@dataclass(frozen=True)
class Entry:
    """All the index knows of one folder (`run`: GROUP/ID)."""

    run: str
    stamp: str
    record: Record
    lines: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def run_row(entry: Entry) -> dict[str, Any]:
    record, config = entry.record, entry.record.config
    parts: dict[str, str | None] = {}
    for part in ("attention", "ffn"):
        parts[part] = _setting(config, part, "name")
        parts[f"{part}_algorithm"] = _setting(config, part, "algorithm")
    return {
        "run": entry.run,
        "status": record.status,
        **run_columns(record),
        **parts,
        "started": clean(record.started),
        "error": clean(record.error),
        "stamp": entry.stamp,
        "content": json.dumps(to_json(record)),
    }


def point_rows(entry: Entry) -> Iterator[dict[str, Any]]:
    for position, point in enumerate(entry.record.points):
        content = json.dumps(asdict(point))
        yield {"run": entry.run, **point_columns(entry.record, position), "content": content}


def metric_rows(entry: Entry) -> Iterator[dict[str, Any]]:
    for line, values in entry.lines:
        step = int(values.get("step", 0))
        for name, value in values.items():
            if name != "step":
                row = {"run": entry.run, "line": line, "name": clean(name)}
                yield {**row, "step": step, "value": value}


def _setting(config: dict[str, Any], part: str, name: str) -> str | None:
    section = config.get(part)
    value = section.get(name) if isinstance(section, dict) else None
    return clean(value) if isinstance(value, str) else None
