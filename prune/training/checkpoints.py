"""Checkpoints of one phase of a run: whole or absent, the newest found again by the same command.

    FOLDER/step-00000120/checkpoint.json    step, steps, ..., and the sha256 of every other file

A checkpoint is written aside, renamed, and only then are older ones removed. A folder that is not
complete, or has a file that was changed, is none. The last one of a phase holds what later phases
need (`finished`): training is never done twice because something after it failed.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import final

from prune.errors import ConfigError, StoreError
from prune.store.files import storing, sync_folder

MANIFEST = "checkpoint.json"
INTERVAL = "PRUNE_CHECKPOINT_S"  # seconds between two checkpoints
INTERVAL_S = 60.0
SHARE = 0.05  # of the time, at most, goes into writing them


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a checkpoint without its tensors."""

    step: int  # optimizer steps done
    steps: int  # of the whole phase
    seconds: float  # that the run had taken so far
    loss: float = 0.0  # summed since the last line of the metrics
    logged: int = 0  # the step of that line
    finished: bool = False  # nothing of the phase is left to do
    files: dict[str, str] = field(default_factory=dict)  # name -> sha256
    path: Path = Path()


@final
class Checkpoints:
    """Those of one phase, in `folder`; one is due every `interval` seconds (None: as asked)."""

    def __init__(self, folder: Path, interval: float | None = None) -> None:
        self.folder = folder
        self.interval = asked_interval() if interval is None else interval
        self.cost = 0.0  # seconds that the last one took to write
        self.written = time.monotonic()

    def due(self) -> bool:
        wait = max(self.interval, self.cost / SHARE) if self.interval else 0.0
        return time.monotonic() - self.written >= wait

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; None if there is none."""
        return next(filter(None, map(read, reversed(self._folders()))), None)

    def write(self, state: Checkpoint, fill: Callable[[Path], None]) -> None:
        """`fill` puts the files of `state` into the folder it is given. Raises StoreError."""
        began, target = time.monotonic(), self.folder / f"step-{state.step:08}"
        aside = target.with_suffix(".partial")
        with storing(self.folder), _removed_on_error(aside):
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            fill(aside)
            files = {path.name: _settled(path) for path in sorted(aside.iterdir())}
            content = asdict(state) | {"files": files}
            del content["path"]
            (aside / MANIFEST).write_text(json.dumps(content, indent=1))
            _settled(aside / MANIFEST)
            shutil.rmtree(target, ignore_errors=True)
            aside.rename(target)
            sync_folder(self.folder)
        for older in self._folders():
            if older != target:
                shutil.rmtree(older, ignore_errors=True)
        self.written = time.monotonic()
        self.cost = self.written - began

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("step-*") if re.fullmatch(r"step-\d+", p.name))


def read(path: Path) -> Checkpoint | None:
    """The checkpoint in `path` if every file is as it was written."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        found = Checkpoint(**json.loads((path / MANIFEST).read_text()), path=path)
        if all(_hash(path / name) == digest for name, digest in found.files.items()):
            return found
    return None


def asked_interval() -> float:
    """Seconds, from the environment. Raises ConfigError if that is no number of at least 0."""
    text = os.environ.get(INTERVAL, str(INTERVAL_S))
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise ConfigError(f"{INTERVAL}={text} must be a number of seconds, at least 0")


def _settled(path: Path) -> str:
    """The sha256 of a file that is on the disk now, not only on its way there."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return _hash(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _removed_on_error(aside: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    except Exception as error:  # of safetensors or torch: a disk that is full, mostly
        shutil.rmtree(aside, ignore_errors=True)
        raise StoreError(f"cannot write the checkpoint {aside}: {error}") from error
