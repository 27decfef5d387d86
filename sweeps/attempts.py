"""What becomes of a run that ended without a result: tried again, tried alone, or given up."""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prune.config import as_dict
from sweeps.executors import Ended, Job
from sweeps.plan import Trial, kind

TAIL_BYTES, TAIL_CHARS = 4096, 300  # of a child's output
USAGE = 2  # exit code of a child whose configuration is wrong: trying again is useless
NO_MEMORY = re.compile(r"out of memory|can't allocate memory|MemoryError", re.IGNORECASE)
CERTAIN = re.compile(r"the loss is (nan|-?inf)")  # it would end the same way again
MARGIN = 1.1  # of memory: runs of a kind differ a little


@dataclass
class Attempts:
    """`timeout_s`: how long one attempt may take; `memory_mb`: what every trial needs, if told."""

    max_retries: int = 1
    timeout_s: float | None = None
    memory_mb: float | None = None
    counts: Counter[str] = field(default_factory=Counter)  # by run id, as the ones below
    alone: set[str] = field(default_factory=set)  # what ran out of memory beside others
    overdue: set[str] = field(default_factory=set)  # what was stopped for taking too long
    learned: dict[str, float] = field(default_factory=dict)  # MiB, by kind of run

    def job(self, trial: Trial, log: Path, alone: bool = False) -> Job:
        """The next attempt at it."""
        memory = self.memory_mb or self.learned.get(kind(as_dict(trial.config)))
        alone = alone or trial.run_id in self.alone
        return Job(trial.run_id, trial.overrides, log, alone, memory)

    def learn(self, trial: Trial, progress: Mapping[str, float]) -> float | None:
        """What runs of this kind need, once one of them has said what it holds, in MiB."""
        held = progress.get("memory_mb")
        if held is None:
            return None
        name = kind(as_dict(trial.config))
        self.learned[name] = max(self.learned.get(name, 0.0), held * MARGIN)
        return self.learned[name]

    def late(self, run_id: str, seconds: float) -> bool:
        """Whether it has to be stopped now: true once for each attempt."""
        if self.timeout_s is None or seconds < self.timeout_s or run_id in self.overdue:
            return False
        self.overdue.add(run_id)
        return True

    def why(self, ended: Ended, recorded: str, log: Path) -> str:
        """How an attempt ended, in a few words; `recorded` is what the run itself recorded."""
        if ended.run_id in self.overdue:
            return f"took more than {self.timeout_s:g} s"
        if ended.code is not None and ended.code >= 0:
            return recorded or last_line(log) or str(ended)
        return str(ended)

    def again(self, ended: Ended, why: str) -> bool:
        """Whether it is worth another attempt."""
        run_id = ended.run_id
        self.overdue.discard(run_id)
        if ended.code == USAGE or CERTAIN.search(why):
            return False
        if NO_MEMORY.search(why):
            first = run_id not in self.alone
            self.alone.add(run_id)
            return first
        return self.counts[run_id] <= self.max_retries + (run_id in self.alone)


def last_line(log: Path) -> str:
    """What a child said last; empty if it said nothing."""
    with contextlib.suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:TAIL_CHARS]
    return ""
