"""The story of one run, read top to bottom.

What it needs first (its dense model, its teacher) is run first. Then data, model and policy;
training with masks between the steps; the shrunk network and the proof that it is equal; the saved
artifact and the measurements of that very artifact; perhaps the same again with its zeros filled.
The result is recorded last.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PrinterCallback, set_seed

from prune import compose, tasks
from prune.aiming import goal_of, verdict
from prune.artifact import checkpoint
from prune.artifact.card import card
from prune.artifact.fill import fill
from prune.artifact.shrink import check, shrink
from prune.config import RunConfig, run_id
from prune.errors import StoreError
from prune.evidence import evidence
from prune.masks.from_config import policy_of
from prune.masks.picture import picture
from prune.masks.policy import Policy, resolve
from prune.masks.pruner import Pruner
from prune.narrator import Narrator, Watch
from prune.overrides import overrides_of
from prune.records import Point, Record
from prune.sources import Source, find_source
from prune.speed.lease import Lease, this_device
from prune.store import RunFolder, Store
from prune.tasks.base import Task
from prune.teachers import distillation_of
from prune.training.arguments import arguments
from prune.training.checkpoints import Checkpoints
from prune.training.distillation import Distillation
from prune.training.resumable import RunTrainer
from prune.training.swaps import Anneal, Swaps, install
from prune.training.target import Steering


def ensure(config: RunConfig, overrides: Sequence[str], store: Store) -> Record:
    """The record of this run: from the store if it is done, else after doing it."""
    if done := store.done(run_id(config)):
        return done
    for needed in compose.needs(config):
        ensure(needed, overrides_of(needed), store)
    try:
        with store.open_run(config, overrides, wait=True) as folder:
            return perform(config, store, folder)
    except StoreError:
        if done := store.done(run_id(config)):  # another process did it while we waited
            return done
        raise


def perform(config: RunConfig, store: Store, folder: RunFolder) -> Record:
    """Do the run whose folder is open, and record it."""
    set_seed(config.seed)
    work = prepare(config, store, folder)
    pruner = train(work, "train", work.model, work.policy, config.train.epochs, config.train.lr)
    pruner.finish()
    work.density = pruner.density()
    folder.keep_masks(picture(pruner))
    work.swaps.fold()
    small = cut(work)
    points = [keep(work, small, "pruned" if pruner.sites else work.stage, "model")]
    if config.fill.epochs:
        work.narrator.filled(fill(small, config.seed))
        train(work, "fill", small, Policy(), config.fill.epochs, config.fill.lr or config.train.lr)
        points.append(keep(work, small, "filled", "filled"))
    record = record_of(work, points)
    for point in points:
        path = folder.path / point.artifact
        (path / "README.md").write_text(card(record, point, path))
    record = folder.finish(record)
    folder.drop_checkpoints()
    work.narrator.end(record)
    return record


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
    swaps: Swaps
    distillation: Distillation | None
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
    sites = resolve(model, policy)
    narrator.plan(sites)
    ramp = policy.schedule.fit(*training_steps(config, len(task.train), config.train.epochs))
    narrator.schedule(ramp, policy.penalty, bool(sites))
    return Work(
        config,
        folder,
        narrator,
        Lease(store.root / ".devices" / this_device()),
        start,
        teacher,
        task,
        model,
        dense=type(model)(copy.deepcopy(model.config)),
        policy=policy,
        swaps=install(model, config.swap.nonorm, config.swap.relu),
        distillation=distillation_of(config, model, task, teacher, store, narrator),
    )


def train(
    work: Work, phase: str, model: PreTrainedModel, policy: Policy, epochs: float, lr: float
) -> Pruner:
    """Fine-tune `model`, with masks between the steps where `policy` has any.

    Goes on from the last checkpoint of this phase, if an earlier attempt left one.
    """
    if not epochs:  # a phase that is not wanted, as when the zeros of another run are filled
        return Pruner(model, Policy(), 0)
    checkpoints = Checkpoints(work.folder.checkpoints / phase)
    trainer = RunTrainer(
        model=model,
        args=arguments(work.config, work.folder.path / "trainer", epochs, lr),
        train_dataset=work.task.train,
        data_collator=work.task.collate,
        policy=policy,
        distillation=work.distillation,
        scores_lr=work.config.train.scores_lr,
        lease=work.lease,
        checkpoints=checkpoints,
        clock=work.folder.elapsed,
        warn=work.narrator.say,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch(work.folder, trainer, work.steps))
    trainer.add_callback(Anneal(work.swaps, work.config.swap.ratio))
    if goal := goal_of(work.config, policy, model, work.dense, work.lease):
        trainer.add_callback(Steering(trainer, goal))
    if found := checkpoints.latest():
        work.folder.resume(work.steps + found.step, found.seconds)
        work.narrator.resumed(found.step, found.steps)
    trainer.go_on(found)
    work.steps += trainer.state.global_step
    work.folder.reached(work.steps)
    model.cpu()
    return trainer.pruner


def cut(work: Work) -> PreTrainedModel:
    """The shrunk network, proved to have the logits of the masked one."""
    small = shrink(work.model, work.config.shrink.round_to)
    inputs = work.task.sample_batches(8, 2)
    tolerance = work.config.shrink.tolerance
    work.difference = check(work.model, small, inputs, work.task.logit_names, tolerance)
    shapes = checkpoint.shape_of(work.model), checkpoint.shape_of(small)
    work.narrator.shrunk(*shapes, work.difference)
    return small


def keep(work: Work, model: PreTrainedModel, stage: str, name: str) -> Point:
    """Save `model` as `name` in the run's folder, and measure what was saved."""
    path = work.folder.path / name
    checkpoint.save(model, path, work.task.processor, work.folder.run_id)
    point = evidence(work.config, path, work.dense, work.task, work.lease, stage, work.difference)
    work.narrator.measured(point)
    whole = work.dense.num_parameters()
    if stage == "pruned" and (line := verdict(work.config, point, whole, work.density)):
        work.narrator.say(line)
    return point


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


def record_of(work: Work, points: list[Point]) -> Record:
    """The record, with what the run came from and the quality it is to be held against."""
    sources = (work.teacher, work.start)
    reference = next((reference_of(s.record) for s in sources if s.record), {})
    return work.folder.outcome(
        "done",
        metric=work.task.metric,
        points=points,
        reference=points[0].quality if points[0].stage == "dense" else reference,
        lineage={"model": work.start.name, "teacher": work.teacher.name},
    )


def reference_of(record: Record) -> dict[str, float]:
    """The quality that what comes of this run is held against: that of its dense model."""
    last = record.points[-1]
    return last.quality if last.stage == "dense" else record.reference
