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

import prune
from sweeps.executors import Ended, Executor, Job

# -P: a folder of the user's that is called like one of our packages must not win.
PROGRAM = (sys.executable, "-P", "-m", "prune", "train")
GRACE_S = 10.0  # for a child to end by itself before it is killed
POLL_S = 0.05


@dataclass(frozen=True)
class Adopted:
    run_id: str
    pid: int
    alive: Callable[[], bool]


class LocalExecutor(Executor):
    """`slots` children at once, `threads` threads each (cores // slots if not given)."""

    def __init__(
        self, slots: int, threads: int | None = None, program: Sequence[str] | None = None
    ) -> None:
        self.program = program or PROGRAM
        self.threads = threads or max(1, cores() // slots)
        self.free = list(range(slots))
        self.children: dict[int, tuple[Job, subprocess.Popen[bytes]]] = {}
        self.adopted: dict[int, Adopted] = {}

    def capacity(self) -> int:
        return len(self.free)

    def submit(self, job: Job) -> int:
        threads = max(self.threads, cores()) if job.alone else self.threads
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with open(job.log, "ab") as log:
            child = subprocess.Popen(
                [*self.program, *job.overrides],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(threads),
                start_new_session=True,  # Ctrl-C in the terminal is for the controller alone
            )
        slot = self.free.pop(0)
        self.children[slot] = job, child
        return slot

    def adopt(self, run_id: str, pid: int, alive: Callable[[], bool]) -> int:
        slot = self.free.pop(0)
        self.adopted[slot] = Adopted(run_id, pid, alive)
        return slot

    def poll(self) -> list[Ended]:
        ended = []
        for slot, (job, child) in list(self.children.items()):
            if (code := _reap(child)) is not None:
                ended.append(Ended(job.run_id, code))
                self._release(slot)
        for slot, other in list(self.adopted.items()):
            if not other.alive():
                ended.append(Ended(other.run_id, None))
                self._release(slot)
        return ended

    def cancel(self) -> None:
        # Only what a controller started leads a session; a run in someone's shell is theirs.
        self.adopted = {slot: other for slot, other in self.adopted.items() if _leads(other.pid)}
        deadline = time.monotonic() + GRACE_S
        self._signal(signal.SIGTERM)
        while (self.children or self.adopted) and time.monotonic() < deadline:
            self.poll()
            time.sleep(POLL_S)
        self._signal(signal.SIGKILL)
        for _, child in self.children.values():
            child.wait()
        self.poll()

    def _signal(self, number: signal.Signals) -> None:
        for _, child in self.children.values():
            _signal_group(child.pid, number)
        for other in self.adopted.values():
            if other.alive():
                _signal_group(other.pid, number)

    def _release(self, slot: int) -> None:
        self.children.pop(slot, None)
        self.adopted.pop(slot, None)
        self.free = sorted([*self.free, slot])


def _leads(pid: int) -> bool:
    try:
        return pid > 0 and os.getsid(pid) == pid
    except OSError:
        return False


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(threads: int) -> dict[str, str]:
    """A child's: its share of the threads, and the `prune` that runs this controller."""
    changes = {
        "OMP_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),  # the tokenizers'
        "PYTHONUNBUFFERED": "1",
    }
    root = str(Path(prune.__file__).resolve().parents[1])
    if root not in site.getsitepackages():  # an installed one is found without help
        path = os.environ.get("PYTHONPATH")
        changes["PYTHONPATH"] = f"{root}{os.pathsep}{path}" if path else root
    inherited = {k: v for k, v in os.environ.items() if k != "PRUNE_QUIET"}  # its log says all
    return {**inherited, **changes}


def _reap(child: subprocess.Popen[bytes]) -> int | None:
    """The exit code if the child ended, else None. What it left running ends with it."""
    if (code := child.poll()) is not None:
        _signal_group(child.pid, signal.SIGKILL)
    return code


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
