"""Runs as child processes of this machine, in as many slots as asked; the cores are shared out."""

import contextlib
import os
import signal
import site
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import Protocol

import prune
from sweeps.executors import Ended, Executor, Job, Where
from sweeps.executors.slots import Device, Slots
from sweeps.executors.warm import GONE, Server

# -P: a folder of the user's that is called like one of our packages must not win.
PROGRAM = COLD = (sys.executable, "-P", "-m", "prune", "train")
GRACE_S = 10.0  # for a child to end by itself before it is killed
POLL_S = 0.05
DEVICE = ".device"  # beside the log of a job: where it runs, for the next controller


class Child(Protocol):
    """A process that was started here; `poll` gives its exit code as subprocess has it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


@dataclass
class Placed:
    """A job in its slot. `child` is None if another controller started it: then `alive` tells."""

    run_id: str
    pid: int
    child: Child | None = None
    alive: Callable[[], bool] = bool
    kill_at: float | None = None  # monotonic, once it was asked to end


class LocalExecutor(Executor):
    """`slots` children at once, `threads` threads each (cores // slots if not given).

    `devices` are the accelerators to be shared out. With `warm` runs are forked from a process
    that has everything loaded, as soon as that is ready.
    """

    def __init__(
        self,
        slots: int,
        threads: int | None = None,
        program: Sequence[str] | None = None,
        devices: Sequence[Device] = (),
        warm: Path | None = None,
    ) -> None:
        self.program = program or PROGRAM
        self.threads = threads or max(1, cores() // slots)
        self.slots = Slots(slots, list(devices))
        self.placed: dict[int, Placed] = {}
        forks = sys.platform == "linux" and self.program == COLD
        self.server = Server(environment(1), warm) if warm and forks else None

    def fits(self, job: Job) -> bool:
        return self.slots.fits(job.memory_mb, job.alone)

    def submit(self, job: Job) -> int:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        slot, device = self.slots.take(job.memory_mb, job.alone)
        try:
            threads = max(self.threads, cores()) if job.alone else self.threads
            child = self._start(job, environment(threads, device))
        except BaseException:
            self.slots.release(slot)
            raise
        self.placed[slot] = Placed(job.run_id, child.pid, child)
        if device:
            job.log.with_suffix(DEVICE).write_text(device.id)
        return slot

    def adopt(self, run_id: str, where: Where, alive: Callable[[], bool], log: Path) -> int:
        note, pid = log.with_suffix(DEVICE), where.pid if where.host == gethostname() else 0
        slot = self.slots.adopt(note.read_text() if note.exists() else "")
        self.placed[slot] = Placed(run_id, pid, alive=alive)
        return slot

    def learn(self, run_id: str, memory_mb: float) -> None:
        for slot, placed in self.placed.items():
            if placed.run_id == run_id:
                self.slots.learn(slot, memory_mb)

    def stop(self, run_id: str) -> None:
        for placed in self.placed.values():
            # A run in someone's shell is theirs.
            ours = placed.child or _leads(placed.pid)
            if placed.run_id == run_id and ours and placed.kill_at is None:
                _signal_group(placed.pid, signal.SIGTERM)
                placed.kill_at = time.monotonic() + GRACE_S

    def poll(self) -> list[Ended]:
        ended = []
        for slot, placed in list(self.placed.items()):
            if placed.kill_at is not None and time.monotonic() > placed.kill_at:
                _signal_group(placed.pid, signal.SIGKILL)
            code = _reap(placed.child) if placed.child else None
            if code is not None or not (placed.child or placed.alive()):
                ended.append(Ended(placed.run_id, None if code == GONE else code))
                del self.placed[slot]
                self.slots.release(slot)
        return ended

    def cancel(self) -> None:
        # Only what a controller started leads a session; a run in someone's shell is theirs.
        for slot, placed in list(self.placed.items()):
            if not (placed.child or _leads(placed.pid)):
                del self.placed[slot]
                self.slots.release(slot)
        deadline = time.monotonic() + GRACE_S
        self._signal(signal.SIGTERM)
        while self.placed and time.monotonic() < deadline:
            self.poll()
            time.sleep(POLL_S)
        self._signal(signal.SIGKILL)
        for placed in self.placed.values():
            if placed.child:
                placed.child.wait()
        self.poll()
        if self.server:
            self.server.close()

    def _start(self, job: Job, found: dict[str, str]) -> Child:
        forked = self.server and self.server.fork(job.run_id, job.overrides, job.log, found)
        if forked:
            return forked
        with open(job.log, "ab") as log:
            return subprocess.Popen(
                [*self.program, *job.overrides],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=found,
                start_new_session=True,  # Ctrl-C in the terminal is for the controller alone
            )

    def _signal(self, number: signal.Signals) -> None:
        for placed in self.placed.values():
            if placed.child or placed.alive():
                _signal_group(placed.pid, number)


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(threads: int, device: Device | None = None) -> dict[str, str]:
    """A child's: its share of the threads, its device, the `prune` that runs this controller."""
    changes = {
        "OMP_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),  # the tokenizers'
        "PYTHONUNBUFFERED": "1",
    }
    if device:
        changes["CUDA_VISIBLE_DEVICES"] = device.id
    root = str(Path(prune.__file__).resolve().parents[1])
    if root not in site.getsitepackages():  # an installed one is found without help
        path = os.environ.get("PYTHONPATH")
        changes["PYTHONPATH"] = f"{root}{os.pathsep}{path}" if path else root
    inherited = {k: v for k, v in os.environ.items() if k != "PRUNE_QUIET"}  # its log says all
    return {**inherited, **changes}


def _leads(pid: int) -> bool:
    try:
        return pid > 0 and os.getsid(pid) == pid
    except OSError:
        return False


def _reap(child: Child) -> int | None:
    """The exit code if the child ended, else None. What it left running ends with it."""
    if (code := child.poll()) is not None:
        _signal_group(child.pid, signal.SIGKILL)
    return code


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pid > 0:
            os.killpg(pid, number)
