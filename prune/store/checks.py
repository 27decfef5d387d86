"""What may enter the store, and what may be believed when it comes out of a file."""

import dataclasses
import functools
import hashlib
import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prune.records import Point, Record

LARGEST = 2**63 - 1  # what a database holds
WEIGHTS = "model.safetensors"  # of an artifact


def evidence_problems(record: Record, run_id: str) -> list[str]:
    """Why `record` cannot be the outcome of run `run_id`, one line each; empty if it can."""
    if found := list(misfits(record, Record)):
        return found
    problems = []
    if record.run_id != run_id:
        problems.append(f"it is of run {record.run_id}")
    if record.status not in ("done", "failed"):
        problems.append(f"its status is {record.status!r}, not done or failed")
    if record.status == "done" and not record.points:
        problems.append("it has no point: nothing was measured")
    return problems + [
        f"{p.stage}: {text}" for p in record.points for text in p.problems(record.published)
    ]


def artifact_problems(record: Record, folder: Path) -> list[str]:
    """Why the points of a run are no evidence about what is saved in its `folder`.

    Quality, density, size and latency are of the weights with that hash, and these must be there.
    """
    return [f"{p.stage}: {text}" for p in record.points for text in _artifact(p, folder)]


def _artifact(point: Point, folder: Path) -> Iterator[str]:
    file = folder / point.artifact / WEIGHTS
    if point.artifact in ("", "..") or Path(point.artifact).name != point.artifact:
        yield f"artifact={point.artifact!r} is no folder of the run"
    elif not file.is_file():
        yield f"{point.artifact}/{WEIGHTS} is not there: what was measured is not saved"
    else:
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != point.sha256:
            yield f"{point.artifact}/{WEIGHTS} is not what was measured (another hash)"
        size = file.stat().st_size / 1e6
        if abs(point.size_mb - size) > 1e-3 * size:
            yield f"size_mb={point.size_mb:.4g}, and {point.artifact}/{WEIGHTS} has {size:.4g}"


def misfits(value: Any, hint: Any = Any, name: str = "") -> Iterator[str]:
    """Every part of `value` that is not of type `hint` or not a finite number, by its name."""
    arguments = typing.get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, hint):
        for inner, kind in _hints(hint).items():
            yield from misfits(getattr(value, inner), kind, f"{name}.{inner}".lstrip("."))
    elif isinstance(value, dict) and _open(hint, dict):
        for inner, item in value.items():
            yield from misfits(
                item, arguments[1] if arguments else Any, f"{name}.{inner}".lstrip(".")
            )
    elif isinstance(value, list) and _open(hint, list):
        for position, item in enumerate(value):
            yield from misfits(item, arguments[0] if arguments else Any, f"{name}[{position}]")
    elif not _plain(value, hint):
        yield f"{name}={value!r}"


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _open(hint: Any, kind: type) -> bool:
    return hint is Any or typing.get_origin(hint) is kind


def _plain(value: Any, hint: Any) -> bool:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return hint in (Any, type(value))
    if isinstance(value, int):
        return hint in (Any, int, float) and abs(value) <= LARGEST
    return isinstance(value, float) and hint in (Any, float) and math.isfinite(value)
