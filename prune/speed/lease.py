"""Who may use the device: many runs train at once, but one that measures is alone.

Training takes the lease for the length of a step, shared; measuring takes it exclusively. Both are
file locks, so a process that dies lets go. Whoever wants to measure first closes the gate that
every training step passes, so it waits for the steps under way and no longer.
"""

import fcntl
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import final

import torch


@final
class Lease:
    """`folder`: where the locks of this device are; None: nobody to share with."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def shared(self) -> AbstractContextManager[None]:
        """For one training step."""
        return _held(self.folder, fcntl.LOCK_SH) if self.folder else nullcontext()

    def exclusive(self) -> AbstractContextManager[None]:
        """For a measurement."""
        return _held(self.folder, fcntl.LOCK_EX) if self.folder else nullcontext()


def this_device() -> str:
    """A name for what this process computes on: a device of this machine, or its processor."""
    device = "cpu"
    if torch.cuda.is_available():
        device = str(torch.cuda.get_device_properties(0).uuid)
    return f"{socket.gethostname()}-{device}"


def device_lease(runs: Path | None) -> Lease:
    """The lease of this device among all that use the folder of these runs; None: nobody does."""
    return Lease(runs / ".devices" / this_device() if runs else None)


@contextmanager
def _held(folder: Path, kind: int) -> Iterator[None]:
    with (folder / "gate.lock").open("w") as gate, (folder / "device.lock").open("w") as device:
        fcntl.flock(gate, kind)
        fcntl.flock(device, kind)
        if kind == fcntl.LOCK_SH:  # whoever measures keeps the gate closed
            fcntl.flock(gate, fcntl.LOCK_UN)
        yield
