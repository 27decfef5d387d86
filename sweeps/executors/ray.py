"""Runs on a Ray cluster, one an actor: it starts the child, and ends with it.

The actors are detached: they outlive a controller that is killed, and the next one finds them by
their names. Without an address the cluster is the one Ray finds on this machine, or one of its own
that ends with the controller.
"""

import contextlib
import itertools
import logging
import math
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, final

from prune.errors import ConfigError, UsageError, unknown
from sweeps.executors import Job, devices, local, runner
from sweeps.executors.remote import RemoteExecutor, RemoteJob
from sweeps.executors.slots import RESERVE

NAMESPACE = "prune"
OPTIONS = ("address", "num_cpus", "num_gpus", "resources", "accelerator_type")
ASK_S = 2.0  # how long one question to an actor may take: those of a killed controller end, too
AT_ONCE = 8  # questions to an actor
REACH_S = 10.0  # for a cluster to answer
LOOK_S = 60.0  # for the devices of a machine to be known
PARTS = 10_000  # of a device: as fine as Ray counts
FAILS = (OSError, RuntimeError, ValueError)  # as Ray does if there is no such cluster
LOST = "node has died"  # in what Ray says of an actor


@final
class RayJob(RemoteJob):
    """`actor` is None if it is gone."""

    def __init__(self, ray: Any, number: str, actor: Any) -> None:
        self.ray, self.number, self.actor = ray, number, actor
        self.found: int | None = None
        self.asked: Any = None  # the answer to come

    def over(self, surely: bool = False) -> bool:
        if self.actor is None:
            return True
        self.asked = self.asked or self.actor.wait.remote(ASK_S)
        if self.ray.wait([self.asked], timeout=ASK_S if surely else 0)[0]:
            self._heard()
        return self.actor is None

    def code(self) -> int | None:
        return self.found

    def stop(self, begun: bool) -> None:
        if self.actor is not None and begun:
            self.actor.stop.remote()
        elif self.actor is not None:
            self.ray.kill(self.actor)

    def leave(self) -> None:
        if self.actor is not None:
            self.ray.kill(self.actor)  # what it holds is for the next
            self.actor = None

    def _heard(self) -> None:
        asked, self.asked = self.asked, None
        try:
            self.found = self.ray.get(asked)
        except self.ray.exceptions.ActorUnavailableError:
            return  # cut off, or lost: Ray will know in a while
        except self.ray.exceptions.RayError as error:
            self.why, self.actor = _why(error), None
        if self.found is not None:
            self.leave()


@final
class RayExecutor(RemoteExecutor):
    """`options`: address; and what Ray gives each run: num_cpus (its threads), num_gpus, resources,
    accelerator_type.

    Where the cluster has GPUs a run gets the share of one that its memory needs, by the smallest of
    the cluster; a whole one as long as nobody knows what it needs.

    Raises UsageError if Ray is not installed or there is no such cluster, ConfigError for an option
    that it does not know.
    """

    def __init__(
        self,
        slots: int,
        threads: int | None,
        options: Mapping[str, Any],
        program: Sequence[str] | None = None,
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise UsageError("launcher=ray needs Ray: pip install 'prune[ray]'") from error
        super().__init__(slots, threads, program)
        self.ray: Any = ray
        self.options = checked(options)
        self._join(self.options.pop("address", None))
        # By value: no folder there that is called like a package of ours must win.
        for module in (runner, devices):
            self.ray.cloudpickle.register_pickle_by_value(module)
        self.actors = self._actors()
        self.cluster = str(self.ray.get_runtime_context().gcs_address)
        self.gpus = float(self.ray.cluster_resources().get("GPU", 0))

    def begin(self, job: Job) -> RayJob:
        name, share = uuid.uuid4().hex, self._share(job)
        command, log = [*self.program, *job.overrides], str(job.log.resolve())
        actor = self.actors.options(name=name, num_gpus=share)
        there = actor.remote(command, log, self._given(share), os.getcwd(), local.GRACE_S)
        return RayJob(self.ray, f"{name}@{self.cluster}", there)

    def known(self, number: str) -> RayJob | None:
        name, _, cluster = number.partition("@")
        if cluster != self.cluster:
            return None
        try:
            return RayJob(self.ray, number, self.ray.get_actor(name, NAMESPACE))
        except ValueError:
            return RayJob(self.ray, number, None)

    def close(self) -> None:
        self.ray.shutdown()

    def _join(self, address: str | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            _reach(address or os.environ.get("RAY_ADDRESS", ""))
            self.ray.init(
                address,
                namespace=NAMESPACE,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (*FAILS, self.ray.exceptions.RayError) as error:
            said = " ".join(str(error).split())[:300]
            where = f" at {address}" if address else ""
            raise UsageError(
                f"launcher=ray: no cluster{where} ({said}); to start one: ray start --head"
            ) from error
        # It would tell on stdout, where our answer goes, what happens to its machines.
        self.ray._private.worker._worker_logs_enabled = False

    def _actors(self) -> Any:
        asked = {"num_cpus": self.threads, **self.options, "namespace": NAMESPACE}
        try:
            return self.ray.remote(lifetime="detached", max_concurrency=AT_ONCE, **asked)(
                runner.Runner
            )
        except (ValueError, TypeError) as error:
            raise ConfigError(f"ray: {' '.join(str(error).split())[:300]}") from error

    def _share(self, job: Job) -> float:
        """Of a device, or how many."""
        told: float | None = self.options.get("num_gpus")
        if told is not None:
            return max(1.0, told) if job.alone and told else told
        if not self.gpus:
            return 0.0
        if job.alone or job.memory_mb is None or not self.device_mb:
            return 1.0
        share = job.memory_mb / (self.device_mb * (1 - RESERVE))
        return min(1.0, math.ceil(share * PARTS) / PARTS)

    @cached_property
    def device_mb(self) -> float:
        """Memory of the smallest device of the cluster; 0 if nobody knows."""
        nodes = [n for n in self.ray.nodes() if n["Alive"] and n["Resources"].get("GPU")]
        found = [devices.memories(partial(self._said, node["NodeID"])) for node in nodes]
        return min(itertools.chain(*found), default=0.0)

    def _said(self, node: str, command: Sequence[str]) -> str:
        """What a command says on that machine; nothing if the machine does not answer."""
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        there = self.ray.remote(num_cpus=0, scheduling_strategy=strategy(node, soft=False))
        with contextlib.suppress(self.ray.exceptions.RayError):
            return str(self.ray.get(there(devices.answer).remote(command), timeout=LOOK_S))
        return ""

    def _given(self, share: float) -> dict[str, str]:
        """The variables of a run: those of this process, as sbatch has it; devices are Ray's."""
        found = {
            key: value
            for key, value in local.environment(self.threads).items()
            if not (key.endswith("_VISIBLE_DEVICES") or key.startswith("RAY_"))
        }
        # Ray leaves all devices of the machine to what asked for none.
        return found if share else {**found, "CUDA_VISIBLE_DEVICES": ""}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, if they are some. Raises ConfigError."""
    if problems := [unknown("ray option", key, OPTIONS) for key in options if key not in OPTIONS]:
        raise ConfigError(problems)
    resources = options.get("resources", {})
    if not isinstance(resources, dict):
        raise ConfigError(f"ray.resources={resources} must be as in ray.resources={{big: 1}}")
    amounts = {f"resources.{key}": value for key, value in resources.items()}
    amounts |= {key: options[key] for key in ("num_cpus", "num_gpus") if key in options}
    for key, value in amounts.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if not number or (value > 1 and value != int(value)):
            raise ConfigError(f"ray.{key}={value} must be a whole number, or a share below 1")
    return dict(options)


def _reach(address: str) -> None:
    """Raises OSError where nobody listens: Ray would try for a quarter of an hour, and say so."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "://" not in address:
        socket.create_connection((host, int(port)), REACH_S).close()


def _why(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any(LOST in line for line in lines):
        return "the machine it ran on is gone"
    if getattr(error, "actor_init_failed", False):  # not every one is of an actor
        return f"it could not be started: {lines[-1][:300]}"
    return ""
