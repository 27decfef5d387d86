"""Who works in a run folder: a lock that dies with its process, and a note of who that is."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from prune.errors import StoreError
from prune.store.files import on_network, storing

LOCK = "lock"
GRACE_S = 0.5  # a look at the status of a run takes its lock for a moment
POLL_S = 0.05

_held: set[int] = set()


def _close_inherited() -> None:
    # A forked worker shares the lock: it would keep the run "running" after its parent was killed.
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_close_inherited)


@dataclass(frozen=True)
class Holder:
    """The process that holds a run; `started` is when it took the lock (ISO 8601, UTC)."""

    host: str = ""
    pid: int = 0
    started: str = ""

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} since {self.started}" if self.pid else "a process"


@contextlib.contextmanager
def held(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold the run in `folder` (made if missing). Raises StoreError naming who holds it."""
    handle = _acquire(folder, wait)
    try:
        yield
    finally:
        _held.discard(handle)
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)  # an ended process leaves no note, a killed one does
        os.close(handle)


def holder(folder: Path) -> Holder | None:
    """Who holds the run in `folder`; None if nobody does."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _note(handle)
    else:
        note = _note(handle)
        return note if _elsewhere(folder, note) else None
    finally:
        os.close(handle)


def forget(folder: Path, host: str, pid: int) -> None:
    """Take away the lock of a process on another machine that is known to be gone.

    On a network file system its note would hold the run for ever. Here a lock dies by itself.
    """
    with contextlib.suppress(OSError, ValueError, TypeError):
        note = Holder(**json.loads((folder / LOCK).read_bytes()))
        if (note.host, note.pid) == (host, pid) and host != socket.gethostname():
            (folder / LOCK).unlink()


def _acquire(folder: Path, wait: bool) -> int:
    path, deadline = folder / LOCK, time.monotonic() + GRACE_S
    while True:
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                continue  # the folder was removed just now
        try:
            if _try(handle, path):
                _held.add(handle)
                return handle
            note = _note(handle)
        finally:
            if handle not in _held:
                os.close(handle)
        if not wait and time.monotonic() > deadline:
            raise StoreError(_in_use(folder, note))
        time.sleep(POLL_S)


def _try(handle: int, path: Path) -> bool:
    """Take the lock and sign it, unless another process has it or the file is no longer there."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if not path.exists() or not os.path.samestat(os.fstat(handle), path.stat()):
        return False
    if _elsewhere(path.parent, _note(handle)):
        return False
    started = datetime.now(UTC).isoformat(timespec="seconds")
    note = json.dumps(asdict(Holder(socket.gethostname(), os.getpid(), started)))
    with storing(path):
        os.ftruncate(handle, 0)
        os.pwrite(handle, note.encode(), 0)
    return True


def _note(handle: int) -> Holder:
    try:
        return Holder(**json.loads(os.pread(handle, 4096, 0)))
    except (ValueError, TypeError):
        return Holder()


def _elsewhere(folder: Path, note: Holder) -> bool:
    """Whether a lock that is free here may be held on another machine."""
    return bool(note.pid) and note.host != socket.gethostname() and on_network(folder)


def _in_use(folder: Path, note: Holder) -> str:
    advice = "wait for it, or stop it"
    if note.pid and note.host != socket.gethostname():
        advice += f"; if it is gone, delete {folder / LOCK}"
    return f"run {folder.name} is in use by {note} ({folder}): {advice}"
