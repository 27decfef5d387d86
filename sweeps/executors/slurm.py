"""Runs as Slurm jobs through submitit, one a trial; `cluster=local` does the same on this machine.

Slurm decides where and when; `slots` jobs at most are in its queue or running. Runs folder, Python
and code are on a disk that all machines share. Beside the log of a job is its number, for the next
controller: a job that still waits is not submitted again.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from prune.errors import ConfigError, UsageError
from sweeps.executors import Ended, Executor, Job, local
from sweeps.executors.remote import run_child

NUMBER = ".job"  # beside the log of a job: its number
DAY_MIN = 24 * 60
SACCT_S = 60  # how often Slurm is asked about jobs that left no result
GRACE_S, POLL_S = 60.0, 0.5
# Known to every cluster of submitit; the others are Slurm's own.
GENERAL = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node")
CLUSTERS = ("slurm", "local")


@dataclass
class Placed:
    run_id: str
    job: Any = None  # of submitit; None if nobody knows its number: then `alive` tells
    alive: Callable[[], bool] | None = None


@final
class SlurmExecutor(Executor):
    """`options` as for sbatch: partition, gpus_per_node, timeout_min (a day), mem_gb, account, ...

    Raises UsageError if submitit is not installed or there is no Slurm, ConfigError for an option
    that it does not know.
    """

    def __init__(
        self,
        slots: int,
        threads: int | None,
        folder: Path,
        options: Mapping[str, Any],
        program: Sequence[str] | None = None,
    ) -> None:
        try:
            import submitit
            from submitit.slurm.slurm import SlurmInfoWatcher
        except ImportError as error:
            raise UsageError("launcher=slurm needs submitit: pip install 'prune[slurm]'") from error
        found = dict(options)
        cluster = str(found.pop("cluster", "slurm"))
        if cluster not in CLUSTERS:
            raise UsageError(f"slurm.cluster={cluster} is none of {', '.join(CLUSTERS)}")
        self.slots, self.threads = slots, threads or 1
        self.program = program or local.PROGRAM
        self.folder = folder.resolve()
        self.job_class: Any = submitit.SlurmJob if cluster == "slurm" else submitit.LocalJob
        submitit.SlurmJob.watcher = SlurmInfoWatcher(delay_s=SACCT_S)
        try:
            self.executor = submitit.AutoExecutor(self.folder / "%j", cluster=cluster)
            self.executor.update_parameters(**self._parameters(found))
        except RuntimeError as error:  # no srun
            raise UsageError(f"launcher=slurm: {error}; run it where sbatch is") from error
        except (NameError, TypeError, ValueError, AssertionError) as error:
            said = " ".join(str(error).split())
            raise ConfigError(f"slurm: {said[:300]}; see sbatch --help") from error
        self.placed: dict[int, Placed] = {}

    def fits(self, job: Job) -> bool:
        return len(self.placed) < self.slots

    def submit(self, job: Job) -> int:
        note = job.log.with_suffix(NUMBER)
        found = self._known(note)
        if found is None or found.done(force_check=True):
            command = [*self.program, *job.overrides]
            found = self.executor.submit(run_child, command, job.log.resolve(), self.threads)
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(found.job_id)
        return self._place(Placed(job.run_id, found))

    def adopt(self, run_id: str, pid: int, alive: Callable[[], bool], log: Path) -> int:
        return self._place(Placed(run_id, self._known(log.with_suffix(NUMBER)), alive))

    def stop(self, run_id: str) -> None:
        for placed in self.placed.values():
            if placed.run_id == run_id and placed.job:
                placed.job.cancel(check=False)

    def poll(self) -> list[Ended]:
        ended = []
        for slot, placed in list(self.placed.items()):
            if not (placed.alive() if placed.alive else _waits(placed.job)):
                ended.append(Ended(placed.run_id, _code(placed.job)))
                del self.placed[slot]
        return ended

    def cancel(self) -> None:
        for placed in self.placed.values():
            if placed.job:
                placed.job.cancel(check=False)
        deadline = time.monotonic() + GRACE_S
        while any(placed.job for placed in self.placed.values()) and time.monotonic() < deadline:
            self.poll()
            time.sleep(POLL_S)

    def _parameters(self, options: Mapping[str, Any]) -> dict[str, Any]:
        asked = {"timeout_min": DAY_MIN, "cpus_per_task": self.threads, **options}
        return {k if k in GENERAL else f"slurm_{k}": v for k, v in asked.items()} | {
            "name": "prune"
        }

    def _known(self, note: Path) -> Any:
        with contextlib.suppress(OSError):
            return self.job_class(self.folder / "%j", note.read_text().strip())
        return None

    def _place(self, placed: Placed) -> int:
        slot = min(set(range(len(self.placed) + 1)) - set(self.placed))
        self.placed[slot] = placed
        return slot


def _waits(job: Any) -> bool:
    """Whether it is in the queue, or running."""
    return job is not None and not job.done()


def _code(job: Any) -> int | None:
    """What the child ended with; None if the job was ended, or its machine is gone."""
    if job is None or not job.paths.result_pickle.exists():
        return None
    with contextlib.suppress(Exception):  # what submitit makes of a job that failed
        return int(job.result())
    return None
