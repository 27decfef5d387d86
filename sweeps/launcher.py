"""Who starts the runs: this machine (`launcher=local`), a Slurm or a Ray cluster.

launcher: slurm
slurm: {partition: gpu, gpus_per_node: 1, timeout_min: 600}    # or slurm.partition=gpu

launcher: ray
ray: {address: "head:6379", num_gpus: 0.25}                    # or ray.address=head:6379
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from prune.errors import ConfigError, UsageError, unknown
from sweeps.executors import Executor

LOCAL, SLURM, RAY = "local", "slurm", "ray"
LAUNCHERS = (LOCAL, SLURM, RAY)
TOLD = {SLURM: "options of sbatch, as in slurm: {partition: gpu}", RAY: "as in ray: {num_gpus: 1}"}
KEYS = ("launcher", *TOLD)


@dataclass(frozen=True)
class Launcher:
    name: str = LOCAL
    told: dict[str, dict[str, Any]] = field(default_factory=dict)  # launcher -> its options

    @property
    def options(self) -> dict[str, Any]:
        return self.told.get(self.name, {})

    def changed(self, overrides: Iterable[str]) -> "Launcher":
        """With `launcher=NAME` and `slurm.OPTION=VALUE` of the command line. Raises UsageError."""
        found: dict[str, Any] = {"launcher": self.name, **{k: {**v} for k, v in self.told.items()}}
        asked = [override.partition("=") for override in overrides]
        for key, _, value in asked:
            who, _, option = key.partition(".")
            if option:
                found.setdefault(who, {})[option] = yaml.safe_load(value)
            else:
                found[who] = value
        made = launcher(found)
        for key, _, value in asked:
            if key.partition(".")[0] not in ("launcher", made.name):
                raise UsageError(f"{key}={value} needs launcher={key.partition('.')[0]}")
        return made


def ours(key: str) -> bool:
    """Whether an override is about this."""
    who, _, option = key.partition(".")
    return key == "launcher" or (who in TOLD and option != "")


def launcher(content: Mapping[str, Any]) -> Launcher:
    """From the keys of a sweep file. Raises UsageError or ConfigError."""
    name = str(content.get("launcher", LOCAL))
    if name not in LAUNCHERS:
        raise UsageError(unknown("launcher", name, LAUNCHERS))
    told = {who: content[who] for who in TOLD if who in content}
    for who, options in told.items():
        if not isinstance(options, dict):
            raise ConfigError(f"{who}: must be {TOLD[who]}")
    return Launcher(name, {who: {str(k): v for k, v in o.items()} for who, o in told.items()})


def executor(who: Launcher, slots: int, threads: int | None, logs: Path, warm: bool) -> Executor:
    """What starts the runs; `logs` is the folder of their logs."""
    if who.name == SLURM:
        from sweeps.executors.slurm import SlurmExecutor

        return SlurmExecutor(slots, threads, logs / SLURM, who.options)
    if who.name == RAY:
        from sweeps.executors.ray import RayExecutor

        return RayExecutor(slots, threads, who.options)
    from sweeps.executors.devices import devices
    from sweeps.executors.local import LocalExecutor

    server = logs / "server.log" if warm else None
    return LocalExecutor(slots, threads, devices=devices(), warm=server)
