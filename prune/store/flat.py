"""A run and its points as flat rows: what a report filters, ranks and draws, without their JSON.

Runs and points give the same columns here whether they come from a Record in memory or out of the
index, where each of them is a column of a table.
"""

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from prune.records import PUBLISHED, Point, Record

# What names the family of a run; weights and penalties stay out, so that many runs share a recipe.
PART = ("name", "algorithm", "geometry", "block", "sharing", "ampere", "output_as_ffn")
RECIPE = {
    "attention": PART,
    "ffn": PART,
    "swap": ("nonorm", "relu"),
    "model": ("name",),
    "teacher": ("name", "name_or_path"),
}
RUN = (
    *("run_id", "group_name", "experiment", "task", "metric", "model", "teacher", "seed"),
    *("seconds", "steps", "recipe", "command", "variant", "published"),
    *("penalty", "target_density", "epochs", "ramp_epochs", "reference"),
)
# What a point keeps of its first latency.
HEADLINE = (
    *("batch", "length", "runtime", "dense_ms", "pruned_ms"),
    *("speedup", "speedup_low", "speedup_high"),
)
POINT = (
    *("position", "stage", "quality", "qualities"),
    *("density_nonzero", "density_stored", "density_model", "size_mb", "dense_size_mb"),
    *("heads", "neurons", "artifact", "sha256", *HEADLINE, "cells"),
)
SINGLE = 1  # rounds of a measurement that has no interval


def run_columns(record: Record) -> dict[str, Any]:
    """The columns of RUN; None for a number that the config does not say."""
    config = record.config
    seed = config.get("seed")
    return {
        "run_id": record.run_id,
        "group_name": record.group,
        "experiment": clean(record.experiment),
        "task": clean(record.task),
        "metric": clean(record.metric),
        **{part: _text(config, part, "name") for part in ("model", "teacher")},
        "seed": seed if isinstance(seed, int) else None,
        "seconds": record.seconds,
        "steps": record.steps,
        "recipe": recipe(config),
        "command": clean(command(record.overrides)),
        "variant": variant(config),
        "published": clean(record.lineage.get(PUBLISHED, "")),
        "penalty": _number(config, "schedule", "penalty"),
        "target_density": _number(config, "target", "density"),
        "epochs": _number(config, "train", "epochs"),
        "ramp_epochs": _ramp(config),
        "reference": record.reference.get(record.metric),
    }


def point_columns(record: Record, position: int) -> dict[str, Any]:
    """The columns of POINT; None for what was not measured."""
    point = record.points[position]
    return {
        "position": position,
        "stage": clean(point.stage),
        "quality": point.quality.get(record.metric),
        "qualities": json.dumps(point.quality),
        **{f"density_{name}": value for name, value in asdict(point.density).items()},
        "size_mb": point.size_mb,
        "dense_size_mb": point.dense_size_mb,
        "heads": sum(point.heads) if point.heads else None,
        "neurons": sum(point.widths) if point.widths else None,
        "artifact": clean(point.artifact),
        "sha256": clean(point.sha256),
        **_headline(point),
        "cells": json.dumps(cells(point)),
    }


def columns(records: Iterable[Record]) -> dict[str, list[Any]]:
    """One entry a point in each column of RUN and POINT, and its `path`."""
    found: dict[str, list[Any]] = {name: [] for name in (*RUN, *POINT, "path")}
    for record in records:
        run = {**run_columns(record), "path": record.path} if record.points else {}
        for position in range(len(record.points)):
            for name, value in (run | point_columns(record, position)).items():
                found[name].append(value)
    return found


def cells(point: Point) -> list[list[Any]]:
    """Every latency of a point, each as the values of HEADLINE."""
    found = []
    for cell in point.latency:
        values = [getattr(cell, name) for name in HEADLINE]
        found.append(values if cell.rounds > SINGLE else [*values[:-2], None, None])
    return found


def recipe(config: Mapping[str, Any]) -> str:
    """How the network was pruned and taught, as JSON: what its family is named by."""
    found = {}
    for part, keys in RECIPE.items():
        section = config.get(part)
        if isinstance(section, dict):
            found[part] = {key: section[key] for key in keys if section.get(key)}
    return json.dumps(found, sort_keys=True)


def variant(config: Mapping[str, Any]) -> str:
    """The same for runs that differ in nothing but their seed (and the folder they lie in)."""
    rest = {k: v for k, v in config.items() if k not in ("seed", "group")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:8]


def command(overrides: Iterable[str]) -> str:
    """The line that repeats a run, quoted for a shell."""
    return " ".join(("prune train", *map(_quoted, overrides)))


_quoted = lru_cache(maxsize=65536)(shlex.quote)  # the runs of a sweep share most of their overrides


def clean(text: str) -> str:
    """What every database takes as text: an argument of the shell may hold stray bytes."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _ramp(config: Mapping[str, Any]) -> float | None:
    """Epochs over which the threshold moves: the speed of pruning, asked for or as it follows."""
    if asked := _number(config, "schedule", "ramp_epochs"):
        return asked
    epochs, share = _number(config, "train", "epochs"), _number(config, "schedule", "warmup_ratio")
    ends = [_number(config, "schedule", name) for name in ("initial", "final")]
    if epochs is None or share is None or _number(config, "schedule", "warmup_steps") is not None:
        return None
    return max(0.0, epochs * (1 - share * sum(end or 0.0 for end in ends)))


def _headline(point: Point) -> dict[str, Any]:
    first = next(iter(cells(point)), [None] * len(HEADLINE))
    return dict(zip(HEADLINE, first, strict=True))


def _text(config: Mapping[str, Any], part: str, name: str) -> str | None:
    section = config.get(part)
    value = section.get(name) if isinstance(section, dict) else None
    return clean(value) if isinstance(value, str) else None


def _number(config: Mapping[str, Any], part: str, name: str) -> float | None:
    section = config.get(part)
    value = section.get(name) if isinstance(section, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
