"""Who starts the runs: this machine (`launcher=local`), or a Slurm cluster (`launcher=slurm`).

launcher: slurm
slurm: {partition: gpu, gpus_per_node: 1, timeout_min: 600}    # or slurm.partition=gpu
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from prune.errors import ConfigError, UsageError, unknown
from sweeps.executors import Executor

LOCAL, SLURM = "local", "slurm"
LAUNCHERS = (LOCAL, SLURM)
KEYS = ("launcher", SLURM)


@dataclass(frozen=True)
class Launcher:
    name: str = LOCAL
    options: dict[str, Any] = field(default_factory=dict)  # of Slurm

    def changed(self, key: str, value: str) -> "Launcher":
        """With `launcher=NAME` or `slurm.OPTION=VALUE` of the command line."""
        if key == "launcher":
            return launcher({"launcher": value, SLURM: self.options})
        option = key.partition(".")[2]
        return Launcher(self.name, {**self.options, option: yaml.safe_load(value)})


def ours(key: str) -> bool:
    """Whether an override is about this."""
    return key == "launcher" or key.startswith(f"{SLURM}.")


def launcher(content: Mapping[str, Any]) -> Launcher:
    """From the keys of a sweep file. Raises UsageError or ConfigError."""
    name, options = str(content.get("launcher", LOCAL)), content.get(SLURM, {})
    if name not in LAUNCHERS:
        raise UsageError(unknown("launcher", name, LAUNCHERS))
    if not isinstance(options, dict):
        raise ConfigError("slurm: must be options of sbatch, as in slurm: {partition: gpu}")
    return Launcher(name, {str(key): value for key, value in options.items()})


def executor(who: Launcher, slots: int, threads: int | None, logs: Path, warm: bool) -> Executor:
    """What starts the runs; `logs` is the folder of their logs."""
    if who.name == SLURM:
        from sweeps.executors.slurm import SlurmExecutor

        return SlurmExecutor(slots, threads, logs / SLURM, who.options)
    from sweeps.executors.devices import devices
    from sweeps.executors.local import LocalExecutor

    server = logs / "server.log" if warm else None
    return LocalExecutor(slots, threads, devices=devices(), warm=server)
