"""The tables of the index, and a run as their rows: what one filters or sorts by, and the JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from prune.records import Record, to_json

metadata = sa.MetaData()
# What a point keeps of its first latency.
HEADLINE = ["batch", "length", "runtime", "dense_ms", "pruned_ms"]
HEADLINE += ["speedup", "speedup_low", "speedup_high"]


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
    sa.Column("content", sa.Text, nullable=False),  # the Record as JSON
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
    sa.Column("content", sa.Text, nullable=False),
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
    parts = {part: _setting(config, part, "name") for part in ("model", "teacher")}
    for part in ("attention", "ffn"):
        parts[part] = _setting(config, part, "name")
        parts[f"{part}_algorithm"] = _setting(config, part, "algorithm")
    seed = config.get("seed")
    return {
        "run": entry.run,
        "run_id": record.run_id,
        "group_name": record.group,
        "status": record.status,
        "experiment": _clean(record.experiment),
        "task": _clean(record.task),
        "metric": _clean(record.metric),
        **parts,
        "seed": seed if isinstance(seed, int) else None,
        "started": _clean(record.started),
        "seconds": record.seconds,
        "steps": record.steps,
        "error": _clean(record.error),
        "stamp": entry.stamp,
        "content": json.dumps(to_json(record)),
    }


def point_rows(entry: Entry) -> Iterator[dict[str, Any]]:
    for position, point in enumerate(entry.record.points):
        headline = asdict(point.latency[0])
        yield {
            "run": entry.run,
            "position": position,
            "stage": _clean(point.stage),
            "quality": point.quality.get(entry.record.metric),
            **{f"density_{name}": value for name, value in asdict(point.density).items()},
            "size_mb": point.size_mb,
            "dense_size_mb": point.dense_size_mb,
            **{name: headline[name] for name in HEADLINE},
            "sha256": _clean(point.sha256),
            "content": json.dumps(asdict(point)),
        }


def metric_rows(entry: Entry) -> Iterator[dict[str, Any]]:
    for line, values in entry.lines:
        step = int(values.get("step", 0))
        for name, value in values.items():
            if name != "step":
                row = {"run": entry.run, "line": line, "name": _clean(name)}
                yield {**row, "step": step, "value": value}


def _setting(config: dict[str, Any], part: str, name: str) -> str | None:
    section = config.get(part)
    value = section.get(name) if isinstance(section, dict) else None
    return _clean(value) if isinstance(value, str) else None


def _clean(text: str) -> str:
    """What every database takes as text: an argument of the shell may hold stray bytes."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
