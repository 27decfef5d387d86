"""Runs as Slurm jobs through submitit; `cluster=local` does the same on this machine."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from prune.errors import ConfigError, UsageError
from sweeps.executors import Job
from sweeps.executors.remote import RemoteExecutor, RemoteJob, run_child

DAY_MIN = 24 * 60
SACCT_S = 60  # how often Slurm is asked about jobs that left no result
# Known to every cluster of submitit; the others are Slurm's own.
GENERAL = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node")
CLUSTERS = ("slurm", "local")


@final
class SlurmJob(RemoteJob):
    def __init__(self, job: Any) -> None:
        self.job, self.number = job, str(job.job_id)

    def over(self, surely: bool = False) -> bool:
        return bool(self.job.done(force_check=surely))

    def code(self) -> int | None:
        if not self.job.paths.result_pickle.exists():
            return None
        with contextlib.suppress(Exception):  # what submitit makes of a job that failed
            return int(self.job.result())
        return None

    def stop(self, begun: bool) -> None:
        self.job.cancel(check=False)


@final
class SlurmExecutor(RemoteExecutor):
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
        super().__init__(slots, threads, program)
        found = dict(options)
        cluster = str(found.pop("cluster", "slurm"))
        if cluster not in CLUSTERS:
            raise UsageError(f"slurm.cluster={cluster} is none of {', '.join(CLUSTERS)}")
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

    def begin(self, job: Job) -> SlurmJob:
        command = [*self.program, *job.overrides]
        return SlurmJob(self.executor.submit(run_child, command, job.log.resolve(), self.threads))

    def known(self, number: str) -> SlurmJob:
        return SlurmJob(self.job_class(self.folder / "%j", number))

    def _parameters(self, options: Mapping[str, Any]) -> dict[str, Any]:
        asked = {"timeout_min": DAY_MIN, "cpus_per_task": self.threads, **options}
        return {k if k in GENERAL else f"slurm_{k}": v for k, v in asked.items()} | {
            "name": "prune"
        }
