"""Runs on other machines: what Slurm and Ray have in common.

Whatever shares out the machines decides where and when; `slots` jobs at most are in its queue or
running. Runs folder, Python and code are on a disk that all machines share. Beside the log of a job
is its number, for the next controller: a job that still waits is not submitted again.
"""

import contextlib
import json
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.executors import Ended, Executor, Job, Where, local
from sweeps.executors.runner import WHERE, begin

NUMBER = ".job"  # beside the log of a job: its number
GRACE_S, POLL_S = 60.0, 0.2  # a cluster is not asked more often


class RemoteJob(ABC):
    """A job as its cluster knows it."""

    number: str  # by which the next controller finds it
    why = ""  # it ended without an exit code, if the cluster says so

    @abstractmethod
    def over(self, surely: bool = False) -> bool:
        """Whether it is gone; `surely`: ask the cluster, however long ago it was asked."""

    @abstractmethod
    def code(self) -> int | None:
        """What the child ended with; None if the job was ended, or its machine is gone."""

    @abstractmethod
    def stop(self, begun: bool) -> None:
        """It is asked to end, and killed if it does not; or it does not begin."""

    def leave(self) -> None:  # noqa: B027
        """Its run is over, and nobody wants to know more."""


@dataclass
class Placed:
    run_id: str
    log: Path
    job: RemoteJob | None = None  # None if it is none of ours
    alive: Callable[[], bool] | None = None  # of what was adopted
    here: bool = False

    def begun(self) -> bool:
        return self.log.with_suffix(WHERE).exists()

    def over(self) -> bool:
        if self.alive and (self.here or not self.alive()):
            return not self.alive()  # a lock of this machine dies with its holder, not before
        return self.job is not None and self.job.over()

    def ended(self) -> Ended:
        if self.job is None:
            return Ended(self.run_id, None)
        if self.alive and not self.job.over(surely=True):
            self.job.leave()
        return Ended(self.run_id, self.job.code(), self.job.why, where(self.log))


class RemoteExecutor(Executor):
    def __init__(self, slots: int, threads: int | None, program: Sequence[str] | None) -> None:
        self.slots, self.threads = slots, threads or 1
        self.program = program or local.PROGRAM
        self.placed: dict[int, Placed] = {}
        self._next = 0.0  # look, monotonic

    @abstractmethod
    def begin(self, job: Job) -> RemoteJob:
        """Submit it."""

    @abstractmethod
    def known(self, number: str) -> RemoteJob | None:
        """The job of this number; None if the cluster has none."""

    def close(self) -> None:
        """Let go of the cluster."""

    def fits(self, job: Job) -> bool:
        return len(self.placed) < self.slots

    def submit(self, job: Job) -> int:
        found = self._noted(job.log)
        if found is None or found.over(surely=True):
            job.log.parent.mkdir(parents=True, exist_ok=True)
            job.log.with_suffix(WHERE).unlink(missing_ok=True)
            found = self.begin(job)
            job.log.with_suffix(NUMBER).write_text(found.number)
        return self._place(Placed(job.run_id, job.log, found))

    def adopt(self, run_id: str, there: Where, alive: Callable[[], bool], log: Path) -> int:
        job = self._noted(log) if where(log) == there else None  # else started by hand
        here = there.host == socket.gethostname()
        return self._place(Placed(run_id, log, job, alive, here))

    def waiting(self, run_id: str) -> bool:
        found = [p for p in self.placed.values() if p.run_id == run_id and p.job]
        return any(not placed.begun() for placed in found)

    def stop(self, run_id: str) -> None:
        for placed in self.placed.values():
            if placed.run_id == run_id and placed.job:
                placed.job.stop(placed.begun())

    def poll(self) -> list[Ended]:
        if time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + POLL_S
        over = [slot for slot, placed in self.placed.items() if placed.over()]
        return [self.placed.pop(slot).ended() for slot in over]

    def cancel(self) -> None:
        for placed in self.placed.values():
            if placed.job:
                placed.job.stop(placed.begun())
        deadline = time.monotonic() + GRACE_S
        while any(placed.job for placed in self.placed.values()) and time.monotonic() < deadline:
            self.poll()
            time.sleep(POLL_S)
        self.close()

    def _noted(self, log: Path) -> RemoteJob | None:
        with contextlib.suppress(OSError):
            return self.known(log.with_suffix(NUMBER).read_text().strip())
        return None

    def _place(self, placed: Placed) -> int:
        slot = min(set(range(len(self.placed) + 1)) - set(self.placed))
        self.placed[slot] = placed
        return slot


def where(log: Path) -> Where | None:
    """Where the child of this log runs, or ran last; None if it has not begun."""
    with contextlib.suppress(OSError, ValueError):
        return Where(**json.loads(log.with_suffix(WHERE).read_bytes()))
    return None


def run_child(command: Sequence[str], log: Path, threads: int) -> int:
    """Run it where this is called, to its end; its exit code, as subprocess has it.

    Whatever ends the job asks the child to end first: it leaves a checkpoint.
    """
    child = begin(command, log, local.environment(threads))
    try:
        return child.wait()
    except BaseException:  # the job is cancelled, or its time is over
        child.send_signal(signal.SIGTERM)
        child.wait()
        raise
