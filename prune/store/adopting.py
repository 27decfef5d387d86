"""Results that others published, as run folders: a result.json and nothing else."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from prune.errors import StoreError
from prune.records import Record
from prune.store import reading
from prune.store.checks import evidence_problems
from prune.store.files import storing, write_atomic
from prune.store.folder import result_text


def adopt(root: Path, records: Sequence[Record]) -> list[str]:
    """A folder for each record; `new`, `changed` or `same`. All are checked before one is written.

    Raises StoreError if a record is no evidence or its folder is that of a run of ours.
    """
    paths = [root / record.group / record.run_id for record in records]
    found = [_state(record, path) for record, path in zip(records, paths, strict=True)]
    for record, path, state in zip(records, paths, found, strict=True):
        if state != "same":
            with storing(path):
                path.mkdir(parents=True, exist_ok=True)
            write_atomic(path / reading.RESULT, result_text(record))
    return found


def _state(record: Record, path: Path) -> str:
    problems = evidence_problems(record, path.name)
    if problems or not record.published:
        why = "; ".join(problems) or "it does not say where it was published"
        raise StoreError(f"{record.lineage.get('model', path.name)} is no evidence: {why}")
    if not (path / reading.RESULT).exists():
        return "new"
    known = reading.read_or_broken(path)
    if known.status == "done" and not known.published:
        raise StoreError(f"{path} is a run of this store already: nothing was imported")
    return "same" if dataclasses.replace(known, path="") == record else "changed"
