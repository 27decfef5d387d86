"""What a run has in hand before its first step: data, model, policy and teacher.

Everything that can be refused is refused here.
"""

import copy
import math
from dataclasses import dataclass

from transformers import PreTrainedModel

from prune import tasks
from prune.artifact import checkpoint
from prune.config import RunConfig
from prune.forks import fork_of, grafted
from prune.further import further, left_of_dense
from prune.masks.from_config import policy_of
from prune.masks.policy import Policy, resolve
from prune.narrator import Narrator
from prune.sources import Source, find_source
from prune.speed.lease import Lease, device_lease
from prune.speed.machine import emulates_bf16
from prune.store import RunFolder, Store
from prune.tasks.base import Task
from prune.teachers import distillation_of
from prune.training.checkpoints import Checkpoint
from prune.training.distillation import Distillation
from prune.training.swaps import Swaps, install
from prune.training.target import Goal


@dataclass
class Work:
    """What a run has in hand from its first step to its last."""

    config: RunConfig
    folder: RunFolder
    narrator: Narrator
    lease: Lease
    start: Source
    teacher: Source
    task: Task
    model: PreTrainedModel
    dense: (
        PreTrainedModel  # the unpruned network, to be measured against; its weights do not matter
    )
    policy: Policy
    left: float  # of the dense network's weights, in the parts that are pruned, at the start
    fork: Checkpoint | None  # of another run, to go on from
    swaps: Swaps
    distillation: Distillation | None
    goal: Goal | None = None  # that the run was steered to
    difference: float = 0.0  # of logits, small against masked
    density: float = 1.0  # of the parts that are pruned
    steps: int = 0  # trained so far

    @property
    def stage(self) -> str:
        """What the model is as long as nothing is pruned."""
        return self.start.record.points[-1].stage if self.start.record else "dense"


def prepare(config: RunConfig, store: Store, folder: RunFolder) -> Work:
    """Data, model, policy and teacher; everything that can be refused is refused here."""
    narrator = Narrator(folder.path / "train.log")
    narrator.begin(config, folder.run_id, folder.path)
    start = find_source(config, config.model.name_or_path, store)
    teacher = find_source(config, config.teacher.name_or_path, store)
    task = tasks.get(config.task, tasks.processor_for(config.task, start.location), config.seed)
    model = start_model(config, start, task)
    check_lengths(config, model, task)
    policy = policy_of(config) if config.train.epochs else Policy()
    if config.train.precision == "bf16" and emulates_bf16():
        narrator.say("  precision   bf16 is slow on this processor: train.precision=fp32 is faster")
    dense = type(model)(copy.deepcopy(model.config))
    left = left_of_dense(model, dense, policy)
    if left < 1:
        policy = policy_of(further(config, left))
    sites = resolve(model, policy)
    narrator.plan(sites)
    ramp = policy.schedule.fit(*training_steps(config, len(task.train), config.train.epochs))
    if fork := fork_of(config, store):
        policy = grafted(policy, ramp, fork)
        ramp = policy.schedule.fit(0)
        folder.inherit(fork.step)
        narrator.say(f"  trunk       {config.train.trunk}, forked at step {fork.step}")
    narrator.schedule(ramp, policy.penalty, bool(sites))
    folder.spent_on("data")
    distillation = distillation_of(config, model, task, teacher, store, narrator)
    folder.spent_on("teacher")
    return Work(
        config,
        folder,
        narrator,
        device_lease(store.root),
        start,
        teacher,
        task,
        model,
        dense=dense,
        policy=policy,
        left=left,
        fork=fork,
        swaps=install(model, config.swap.nonorm, config.swap.relu),
        distillation=distillation,
    )


def start_model(config: RunConfig, start: Source, task: Task) -> PreTrainedModel:
    """The network the run starts from: a fresh one, a saved one, or one of the hub."""
    if start.location is None:
        return task.new_model(config.model.scratch)
    model = checkpoint.load_any(start.location, task.load_model)
    task.check(model, start.name)
    return model


def check_lengths(config: RunConfig, model: PreTrainedModel, task: Task) -> None:
    """Raises ConfigError, before any work, for a length that the model cannot read."""
    asked = [("measure.grid", length) for _, length in config.measure.grid]
    for key, length in [*asked, ("task.max_length", config.task.max_length)]:
        task.check_length(model, key, length)


def training_steps(config: RunConfig, examples: int, epochs: float) -> tuple[int, float]:
    """Optimizer steps of `epochs` epochs, and of one."""
    per_epoch = math.ceil(examples / config.train.batch_size / config.train.accumulation)
    return config.train.max_steps or math.ceil(epochs * per_epoch), per_epoch
