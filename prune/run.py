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

import torch
from transformers import PreTrainedModel, PrinterCallback, TrainingArguments, set_seed

from prune import compose, tasks
from prune.artifact import checkpoint
from prune.artifact.card import card
from prune.artifact.fill import fill
from prune.artifact.shrink import check, shrink
from prune.config import RunConfig, run_id
from prune.errors import ConfigError, StoreError
from prune.evidence import evidence
from prune.masks.from_config import policy_of
from prune.masks.policy import Policy, resolve
from prune.masks.pruner import Pruner
from prune.narrator import Narrator, Watch
from prune.overrides import overrides_of
from prune.records import Point, Record
from prune.sources import Source, find_source
from prune.speed.lease import Lease
from prune.store import RunFolder, Store
from prune.tasks.base import Task
from prune.teachers import distillation_of
from prune.training.distillation import Distillation
from prune.training.swaps import Anneal, Swaps, install
from prune.training.trainer import SparseTrainer


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
    pruner = train(work, work.model, work.policy, config.train.epochs, config.train.lr)
    pruner.finish()
    work.swaps.fold()
    small = cut(work)
    points = [keep(work, small, "pruned" if pruner.sites else work.stage, "model")]
    if config.fill.epochs:
        work.narrator.filled(fill(small, config.seed))
        train(work, small, Policy(), config.fill.epochs, config.fill.lr or config.train.lr)
        points.append(keep(work, small, "filled", "filled"))
    record = record_of(work, points)
    for point in points:
        (folder.path / point.artifact / "README.md").write_text(card(record, point))
    record = folder.finish(record)
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
    task = tasks.get(config.task, tasks.tokenizer_for(config.task, start.location), config.seed)
    model = start_model(config, start, task)
    check_lengths(config, model)
    policy = policy_of(config)
    sites = resolve(model, policy)
    narrator.plan(sites)
    ramp = policy.schedule.fit(*training_steps(config, len(task.train), config.train.epochs))
    narrator.schedule(ramp, policy.penalty, bool(sites))
    return Work(
        config,
        folder,
        narrator,
        Lease(store.root / ".device"),
        start,
        teacher,
        task,
        model,
        dense=type(model)(copy.deepcopy(model.config)),
        policy=policy,
        swaps=install(model, config.swap.nonorm, config.swap.relu),
        distillation=distillation_of(config, model, task, teacher, store, narrator),
    )


def train(work: Work, model: PreTrainedModel, policy: Policy, epochs: float, lr: float) -> Pruner:
    """Fine-tune `model`, with masks between the steps where `policy` has any."""
    if not epochs:  # a phase that is not wanted, as when the zeros of another run are filled
        return Pruner(model, Policy(), 0)
    trainer = SparseTrainer(
        model=model,
        args=arguments(work.config, work.folder, epochs, lr),
        train_dataset=work.task.train,
        data_collator=work.task.collate,
        policy=policy,
        distillation=work.distillation,
        scores_lr=work.config.train.scores_lr,
        lease=work.lease,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch(work.folder, trainer, work.steps))
    trainer.add_callback(Anneal(work.swaps, work.config.swap.ratio))
    trainer.train()
    work.steps += trainer.state.global_step
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
    checkpoint.save(model, path, work.task.tokenizer, work.folder.run_id)
    point = evidence(work.config, path, work.dense, work.task, work.lease, stage, work.difference)
    work.narrator.measured(point)
    return point


def start_model(config: RunConfig, start: Source, task: Task) -> PreTrainedModel:
    """The network the run starts from: a fresh one, a saved one, or one of the hub."""
    if start.location is None:
        return task.new_model(config.model.scratch)
    model = checkpoint.load_any(start.location, task.load_model)
    task.check(model, start.name)
    return model


def check_lengths(config: RunConfig, model: PreTrainedModel) -> None:
    """Raises ConfigError, before any work, for a length that the model cannot read."""
    longest = getattr(model.config, "max_position_embeddings", None) or math.inf
    asked = max(length for _, length in config.measure.grid)
    for key, length in (("measure.grid", asked), ("task.max_length", config.task.max_length)):
        if length > longest:
            raise ConfigError(f"{key}: the model reads {longest} tokens at most, not {length}")


def training_steps(config: RunConfig, examples: int, epochs: float) -> tuple[int, float]:
    """Optimizer steps of `epochs` epochs, and of one."""
    per_epoch = math.ceil(examples / config.train.batch_size / config.train.accumulation)
    return config.train.max_steps or math.ceil(epochs * per_epoch), per_epoch


def arguments(config: RunConfig, folder: RunFolder, epochs: float, lr: float) -> TrainingArguments:
    """The Trainer's own settings."""
    train = config.train
    return TrainingArguments(
        output_dir=str(folder.path / "trainer"),
        seed=config.seed,
        num_train_epochs=epochs,
        max_steps=train.max_steps or -1,
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.accumulation,
        learning_rate=lr,
        weight_decay=train.weight_decay,
        max_grad_norm=train.clip,
        bf16=train.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length" if train.group_by_length else "random",
        logging_steps=train.log_steps,
        remove_unused_columns=False,
        disable_tqdm=True,
        save_strategy="no",
        report_to=[],
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def record_of(work: Work, points: list[Point]) -> Record:
    """The record, with what the run came from and the quality it is to be held against."""
    sources = (work.teacher, work.start)
    reference = next((s.record.points[-1].quality for s in sources if s.record), {})
    return work.folder.outcome(
        "done",
        metric=work.task.metric,
        points=points,
        reference=points[0].quality if points[0].stage == "dense" else reference,
        lineage={"model": work.start.name, "teacher": work.teacher.name},
    )
