"""Who may use the device: many runs train at once, but one that measures is alone.

Training takes the lease for the length of a step, shared; measuring takes it exclusively. Both are
file locks, so a process that dies lets go. Whoever wants to measure first closes the gate that
every training step passes, so it waits for the steps under way and no longer.
"""

import fcntl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, final


@final
class Lease:
    """`folder`: where the locks of this device are; None: nobody to share with."""

    def __init__(self, folder: Path | None) -> None:
        self._files: tuple[IO[str], IO[str]] | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._files = (folder / ".gate.lock").open("w"), (folder / ".device.lock").open("w")

    def shared(self) -> AbstractContextManager[None]:
        return self._held(fcntl.LOCK_SH) if self._files else nullcontext()

    def exclusive(self) -> AbstractContextManager[None]:
        return self._held(fcntl.LOCK_EX) if self._files else nullcontext()

    @contextmanager
    def _held(self, kind: int) -> Iterator[None]:
        assert self._files is not None
        gate, device = self._files
        fcntl.flock(gate, kind)
        try:
            if kind == fcntl.LOCK_SH:
                fcntl.flock(device, kind)
                fcntl.flock(gate, fcntl.LOCK_UN)
            else:
                fcntl.flock(device, kind)
            yield
        finally:
            fcntl.flock(device, fcntl.LOCK_UN)
            fcntl.flock(gate, fcntl.LOCK_UN)
