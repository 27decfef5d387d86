"""Run folders are the truth; one SQL database is their index.

`runs/GROUP/ID/` has config.yaml, overrides.yaml, env.json, metrics.jsonl, model/; result.json last.
A run is finished when its result is there, running while its lock is held, interrupted otherwise.
"""

import contextlib
import difflib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prune import migrations
from prune.compose import runs_dir
from prune.config import RunConfig, as_dict, run_id
from prune.errors import Stopped, StoreError
from prune.records import Record, from_json
from prune.store import reading
from prune.store.adopting import adopt
from prune.store.checks import misfits
from prune.store.files import storing
from prune.store.folder import RunFolder
from prune.store.index import CHUNK, Index
from prune.store.lock import held, holder
from prune.store.overview import Overview, foreign
from prune.store.tables import Entry

__all__ = ["Overview", "Rebuilt", "RunFolder", "Store"]

MIN_PREFIX = 4  # hex digits that name a run


@dataclass(frozen=True)
class Rebuilt:
    """What `Store.rebuild` found: runs in the index now, and folders that are broken or no runs."""

    runs: int
    skipped: list[str]


class Store:
    """All runs below `root` (default: $PRUNE_RUNS, or `runs`).

    `url` is a database URL or a SQLite file (default: $PRUNE_DB, or `index.db` in `root`).
    """

    def __init__(self, root: Path | None = None, url: str | None = None) -> None:
        self.root = Path(root) if root is not None else runs_dir()
        with storing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        self._index = Index(url or os.environ.get("PRUNE_DB") or str(self.root / "index.db"))

    @property
    def url(self) -> str:
        """The database, complete with its password; the study of a sweep may live there too."""
        return self._index.url.render_as_string(hide_password=False)

    @property
    def schema(self) -> str:
        """The schema of the database; opening a store brings it up to date."""
        return migrations.HEAD

    @property
    def database(self) -> str:
        """The SQLite file, or the URL without its password: for people to read."""
        return self._index.shown

    @contextlib.contextmanager
    def open_run(
        self, config: RunConfig, overrides: Sequence[str], wait: bool = False
    ) -> Iterator[RunFolder]:
        """Hold the folder of this run; an exception that leaves the block is recorded in it.

        Raises StoreError if the run is done, or in use (unless `wait`: then until it is free).
        Ctrl-C, SystemExit and Stopped leave no result: the run can be completed later.
        """
        _check_storable(config)
        path = self.root / config.group / run_id(config)
        if record := self.done(path.name):
            raise StoreError(f"run {record.run_id} is done already: {record.path}")
        try:
            with held(path, wait):
                folder = RunFolder(path, config, overrides, lambda: self._refresh(path))
                folder.prepare()
                with _failure_recorded(folder):
                    yield folder
        finally:
            self._refresh(path)

    def adopt(self, records: Sequence[Record]) -> list[str]:
        """Give results that others published a run folder each: `new`, `changed` or `same`.

        The folder is all there is of such a run, so `rebuild` keeps it. Raises StoreError, and
        writes none of them, if a record is no evidence or its folder is that of a run of ours.
        """
        found = adopt(self.root, records)
        self._reconcile()
        return found

    def done(self, run_id: str) -> Record | None:
        """The finished run of this id, from its folder in any group."""
        for path in self._paths(run_id):
            if (path / reading.RESULT).exists():
                record = reading.read(path)
                if record.status == "done":
                    return record
        return None

    def find(self, prefix: str) -> Record:
        """The run whose id starts with `prefix` (`GROUP/` may stand before it).

        Raises StoreError with the candidates, or with the nearest ids.
        """
        return reading.read(self._path(prefix))

    def get(self, run_id: str) -> Record | None:
        """The run of this whole id, None if there is none. Raises StoreError if it is broken."""
        found = self._paths(run_id)
        path = found[0] if len(found) == 1 else min(found, key=_rank, default=None)
        return reading.read(path) if path else None

    def name(self, prefix: str) -> str:
        """`GROUP/ID` of the run that `find` would give; it may be broken."""
        return reading.key(self._path(prefix))

    def records(
        self, group: str | None = None, task: str | None = None, status: str | None = None
    ) -> list[Record]:
        """All runs that match, oldest first, broken folders too (status "broken")."""
        self._reconcile(group)
        rows = self._index.contents(group_name=group, task=task, status=status)
        return [from_json(json.loads(content), str(self.root / run)) for run, content in rows]

    def overview(self) -> Overview:
        """All runs as columns, for reports; as of now."""
        self._reconcile()
        return Overview(self.root, self._index)

    def rebuild(self) -> Rebuilt:
        """Make the index again from the folders."""
        self._index.clear()
        self._reconcile()
        broken = self._index.contents(status="broken")
        skipped = [f"{self.root / run}: {json.loads(content)['error']}" for run, content in broken]
        return Rebuilt(len(self._index.stamps()) - len(broken), skipped + foreign(self.root))

    def remove(self, run_id: str) -> None:
        """Delete a run: `ID`, or `GROUP/ID` for one of several folders. Refuses a running one."""
        paths = self._paths(run_id)
        if not paths:
            raise StoreError(self._unknown(run_id))
        for path in paths:
            aside = path.with_name(f".removed-{path.name}-{os.getpid()}")
            with held(path), storing(path):
                path.rename(aside)  # at once: never half a run
                shutil.rmtree(aside)
        self._index.drop([reading.key(path) for path in paths])

    def progress(self, run_id: str) -> dict[str, float] | None:
        """The last complete line of the run's metrics; None before the first."""
        lines = [reading.last_metrics(path) for path in self._paths(run_id)]
        return next(filter(None, lines), None)

    def _paths(self, name: str) -> list[Path]:
        """The folders of one run, most alive first. `name`: ID or GROUP/ID."""
        group, _, wanted = name.rpartition("/")
        if not reading.is_run_id(wanted):
            return []
        groups = [group] if group else reading.folder_names(self.root)
        found = [self.root / g / wanted for g in groups if (self.root / g / wanted).is_dir()]
        return sorted(found, key=lambda path: not holder(path)) if len(found) > 1 else found

    def _path(self, prefix: str) -> Path:
        group, _, start = prefix.rstrip("./…").rpartition("/")
        if not re.fullmatch(rf"[0-9a-f]{{{MIN_PREFIX},8}}", start):
            raise StoreError(
                f"{prefix!r} names no run: give at least {MIN_PREFIX} hex digits of its id"
            )
        found = [p for p in reading.folders(self.root, group or None) if p.name.startswith(start)]
        if not found:
            raise StoreError(self._unknown(start))
        if len({path.name for path in found}) > 1:
            names = ", ".join(map(reading.key, found))
            raise StoreError(f"{prefix!r} names {len(found)} runs, give more digits: {names}")
        return min(found, key=_rank)

    def _unknown(self, name: str) -> str:
        known = sorted({path.name for path in reading.folders(self.root)})
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        return f"no run {name!r} in {self.root}{hint} (see: prune runs ls)"

    def _reconcile(self, group: str | None = None) -> None:
        """Bring the index up to date with the folders: new, changed and vanished ones."""
        known = self._index.stamps(group)  # before the folders: a run made meanwhile is not dropped
        changed: list[Entry] = []
        for run, stamp in reading.stamps(self.root, group):
            if known.pop(run, None) != stamp:
                changed.append(_entry(self.root / run, stamp))
            if len(changed) >= CHUNK:
                self._index.put(changed)
                changed.clear()
        if changed:
            self._index.put(changed)
        self._index.drop(known)

    def _refresh(self, path: Path) -> None:
        # The folder is the truth: what the index misses now, the next reader brings in.
        with contextlib.suppress(StoreError):
            self._index.put([_entry(path, reading.stamp(path))])


def _entry(path: Path, stamp: str) -> Entry:
    # The stamp is older than what is read here: a change in between is seen next time.
    record = reading.read_or_broken(path)
    finished = record.status in ("done", "failed")
    return Entry(
        reading.key(path), stamp, record, list(reading.metric_lines(path)) if finished else []
    )


def _rank(path: Path) -> tuple[bool, bool]:
    """Of several folders of one run: the one that is done comes first, then one that is held."""
    return reading.read_or_broken(path).status != "done", not holder(path)


@contextlib.contextmanager
def _failure_recorded(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        if not folder.recorded:
            with contextlib.suppress(StoreError):  # a full disk: `error` says it already
                folder.fail(error)
        raise


def _check_storable(config: RunConfig) -> None:
    if not re.fullmatch(r"\w[\w.-]*", config.group, re.ASCII):
        raise StoreError(
            f"group={config.group!r} is no folder name: use letters, digits, _, - and ."
        )
    if problems := list(misfits(as_dict(config))):
        raise StoreError(f"the configuration cannot be stored: {', '.join(problems)}")
