"""Latency of a finished run, measured later: it joins what the run measured, and replaces none."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prune.errors import StoreError
from prune.records import Latency, Point
from prune.store import reading
from prune.store.checks import artifact_problems, evidence_problems
from prune.store.environment import checkout, git_state, versions
from prune.store.files import write_atomic
from prune.store.folder import result_text
from prune.store.lock import held


def amend(folder: Path, artifact: str, cells: Sequence[Latency]) -> int:
    """Record `cells` of the checkpoint saved as `artifact` in the run folder; how many are new.

    Each gets the hash of the weights, and says when and by what it was measured. What the run
    itself measured stays; a cell that was recorded so before gives way. Raises StoreError, and
    writes nothing, if the run is not done or in use, or if its weights are not those it measured.
    """
    with held(folder):
        record = reading.read(folder)
        if record.status != "done" or record.published:
            raise StoreError(f"{folder} is no finished run of this store: it takes no measurement")
        points = {point.artifact: point for point in record.points}
        if artifact not in points:
            raise StoreError(f"run {record.run_id} has no checkpoint {artifact!r}")
        before = points[artifact]
        own = {_kind(cell) for cell in before.latency if not cell.measured}
        new = [cell for cell in cells if _kind(cell) not in own]
        points[artifact] = _joined(before, new)
        record = dataclasses.replace(record, points=list(points.values()))
        problems = evidence_problems(record, folder.name) or artifact_problems(record, folder)
        if problems:
            raise StoreError("\n".join([f"{folder}: nothing was recorded", *problems]))
        if new:
            write_atomic(folder / reading.RESULT, result_text(record))
    return len(new)


def _joined(point: Point, cells: Sequence[Latency]) -> Point:
    now = f"{datetime.now(UTC).isoformat(timespec='seconds')} by {_who()}"
    kinds = {_kind(cell) for cell in cells}
    kept = [cell for cell in point.latency if not cell.measured or _kind(cell) not in kinds]
    later = [dataclasses.replace(cell, sha256=point.sha256, measured=now) for cell in cells]
    return dataclasses.replace(point, latency=[*kept, *later])


def _kind(cell: Latency) -> tuple[object, ...]:
    """What is measured anew by the same kind: all but the times."""
    what = cell.batch, cell.length, cell.padded, cell.runtime, cell.dtype
    return *what, cell.device, cell.threads


def _who() -> str:
    """`prune 0.1.0 (1f2e3d4c), torch 2.13.0`; a `+` after the commit: it was changed."""
    found, git = versions(), git_state(checkout())
    commit = f" ({git['sha'][:8]}{'+' * bool(git['dirty'])})" if git else ""
    return f"prune {found['prune']}{commit}, torch {found['torch']}"
