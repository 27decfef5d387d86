"""Where runs are started: what every executor can do. An executor knows nothing of the store.

A job is one child, exactly `prune train OVERRIDES`. Its verdict is the result the child stored;
what an executor reports is only that the child is gone, and how it went.
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Job:
    run_id: str
    overrides: tuple[str, ...]  # of `prune train`
    log: Path  # where its output goes; appended to, so that a retry keeps the first try
    alone: bool = False  # nothing else runs beside it: it may have all cores, or all of a device
    memory_mb: float | None = None  # of an accelerator; None: nobody knows yet


@dataclass(frozen=True)
class Where:
    """The process of a job."""

    host: str
    pid: int


@dataclass(frozen=True)
class Ended:
    """A job that is gone. `code` as subprocess has it; None if it was adopted: nobody knows.

    `where` it ran, if that is another machine: what it held there nobody else can let go of.
    """

    run_id: str
    code: int | None
    why: str = field(default="", compare=False)  # in words, if the executor knows them
    where: Where | None = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.code is None:
            return self.why or "ended without a result"
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return f"exit code {self.code}"


class Executor(ABC):
    @abstractmethod
    def fits(self, job: Job) -> bool:
        """Whether it could start now."""

    @abstractmethod
    def submit(self, job: Job) -> int:
        """Start it; returns its slot. Only if it fits."""

    @abstractmethod
    def adopt(self, run_id: str, where: Where, alive: Callable[[], bool], log: Path) -> int:
        """Take over a job that another controller started: it fills a slot until not `alive`.

        `log` is that of its `Job`. What this executor cannot reach (it runs on another machine, or
        somebody started it by hand) is waited for, never cancelled.
        """

    def waiting(self, run_id: str) -> bool:
        """Whether this job stands in a queue: its time has not begun."""
        return False

    def learn(self, run_id: str, memory_mb: float) -> None:  # noqa: B027
        """What this running job needs of its device: the rest is for others."""

    @abstractmethod
    def stop(self, run_id: str) -> None:
        """End one job: it is asked to, and killed if it does not. `poll` reports it."""

    @abstractmethod
    def poll(self) -> list[Ended]:
        """The jobs that ended since the last call. Never blocks."""

    @abstractmethod
    def cancel(self) -> None:
        """End every job with all its processes, and return when they are gone."""
