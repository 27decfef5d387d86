"""Where a model or a teacher comes from: a run of ours, a folder, or the hub."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prune.compose import EXPERIMENT, needed_run
from prune.config import RunConfig, run_id
from prune.errors import MissingInputError, UsageError
from prune.records import Point, Record
from prune.store import Store
from prune.store.reading import RESULT, read


@dataclass(frozen=True)
class Source:
    """`location`: a folder or a hub name, None: from scratch. `record`: of the run it is."""

    location: str | None
    record: Record | None = None

    @property
    def name(self) -> str:
        return self.record.run_id if self.record else self.location or "none"

    @property
    def point(self) -> Point | None:
        """What the run measured of the model at `location`."""
        points = self.record.points if self.record else []
        return next((p for p in points if p.artifact == Path(self.location or "").name), None)


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
    return located(name, store)


def located(name: str, store: Store | None) -> Source:
    """What `name` (a run id, a run folder, a folder with a model, a hub name) stands for.

    A model that lies in a run folder is that run's. store: None where there are no runs. Raises
    MissingInputError for a run that has no model, StoreError for an id that is none.
    """
    folder = Path(name)
    if (folder / RESULT).is_file():
        return _of_run(read(folder.resolve()))
    if (folder.resolve().parent / RESULT).is_file():
        return Source(name, read(folder.resolve().parent))
    if store and not folder.exists() and re.fullmatch(r"[0-9a-f]{4,8}", name):
        return _of_run(store.find(name))
    return Source(name)


FROM_RUN = "from_run="


def continued(overrides: Sequence[str], store: Store) -> list[str]:
    """`from_run=ID ...` as plain overrides: all that run was asked, on the model it left.

    Nothing of it is done again unless asked for: not the training, not the swaps, not the fill.
    Raises UsageError if nothing else is asked, StoreError and MissingInputError for a run that is
    not there or has no model.
    """
    named = [o for o in overrides if o.startswith(FROM_RUN)]
    if not named:
        return list(overrides)
    record = store.find(named[-1].removeprefix(FROM_RUN))
    _of_run(record)
    rest = [o for o in overrides if o not in named]
    if not any(re.match(r"\+*(train|fill)\.epochs=", o) for o in rest):
        raise UsageError(
            f"{named[-1]}: say what to do with its model: fill.epochs=N to fill its zeros, "
            "train.epochs=N to fine-prune it further"
        )
    teacher = record.lineage.get("teacher", "none")
    return [
        *(o for o in record.overrides if not o.startswith("group=")),
        f"model.name_or_path='{record.run_id}'",
        *([] if teacher == "none" else [f"teacher.name_or_path='{teacher}'"]),
        *("train.epochs=0", "fill.epochs=0", "swap.nonorm=false", "swap.relu=false"),
        *rest,
    ]


def _of_run(record: Record) -> Source:
    if record.status != "done" or not record.points:
        raise MissingInputError(
            f"run {record.run_id} has no model (it is {record.status}): "
            f"see prune runs show {record.run_id}"
        )
    folder = Path(record.path) / record.points[-1].artifact
    if record.published or not folder.is_dir():
        where = "was published elsewhere" if record.published else f"has lost it: {folder} is gone"
        raise MissingInputError(f"run {record.run_id} has no model here (it {where})")
    return Source(str(folder), record)
