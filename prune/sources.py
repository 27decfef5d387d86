"""Where a model or a teacher comes from: a run of ours, a folder, or the hub."""

import re
from dataclasses import dataclass
from pathlib import Path

from prune.compose import EXPERIMENT, needed_run
from prune.config import RunConfig, run_id
from prune.errors import MissingInputError
from prune.records import Record
from prune.store import Store


@dataclass(frozen=True)
class Source:
    """`location`: a folder or a hub name, None: from scratch. `record`: of the run it is."""

    location: str | None
    record: Record | None = None

    @property
    def name(self) -> str:
        return self.record.run_id if self.record else self.location or "none"


def find_source(config: RunConfig, name: str | None, store: Store) -> Source:
    """What `name` (`experiment:NAME ...`, a run id, a run or model folder, a hub name) stands for.

    Raises MissingInputError for a run that has no model.
    """
    if name is None:
        return Source(None)
    if name.startswith(EXPERIMENT):
        needed = run_id(needed_run(config, name))
        record = store.done(needed)
        if record is None:
            raise MissingInputError(f"run {needed} ({name}) is not done: run it first")
        return _of_run(record)
    folder = Path(name)
    if (folder / "result.json").is_file():
        return _of_run(store.find(folder.resolve().name))
    if not folder.exists() and re.fullmatch(r"[0-9a-f]{4,8}", name):
        return _of_run(store.find(name))
    return Source(name)


def _of_run(record: Record) -> Source:
    if record.status != "done" or not record.points:
        raise MissingInputError(
            f"run {record.run_id} has no model (it is {record.status}): "
            f"see prune runs show {record.run_id}"
        )
    return Source(str(Path(record.path) / record.points[-1].artifact), record)
