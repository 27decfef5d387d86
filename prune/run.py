"""The story of one run, read top to bottom.

What it needs first (its dense model, its teacher) is run first. Then data, model and policy;
training with masks between the steps; the shrunk network and the proof that it is equal; the saved
artifact and the measurements of that very artifact. The result is recorded last.
"""

import copy
import math
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PrinterCallback, TrainingArguments, set_seed

from prune import compose, tasks
from prune.artifact import checkpoint
from prune.artifact.card import card
from prune.artifact.shrink import check, shrink
from prune.config import RunConfig, run_id
from prune.errors import ConfigError, StoreError
from prune.evidence import evidence
from prune.masks.from_config import policy_of
from prune.masks.policy import resolve
from prune.narrator import Narrator, Watch
from prune.overrides import overrides_of
from prune.records import Point, Record
from prune.sources import Source, find_source
from prune.speed.lease import Lease
from prune.store import RunFolder, Store
from prune.tasks.base import Task
from prune.teachers import distillation_of
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
    narrator = Narrator(folder.path / "train.log")
    narrator.begin(config, folder.run_id, folder.path)
    set_seed(config.seed)
    lease = Lease(store.root / ".device")

    start = find_source(config, config.model.name_or_path, store)
    task = tasks.get(config.task, tasks.tokenizer_for(config.task, start.location), config.seed)
    model = start_model(config, start, task)
    dense = copy.deepcopy(model)
    check_grid(config, model)

    policy = policy_of(config)
    sites = resolve(model, policy)
    narrator.plan(sites)
    ramp = policy.schedule.fit(*training_steps(config, len(task.train)))
    narrator.schedule(ramp, policy.penalty, bool(sites))
    distillation = distillation_of(config, model, task, store, narrator)

    trainer = SparseTrainer(
        model=model,
        args=arguments(config, folder),
        train_dataset=task.train,
        data_collator=task.collate,
        policy=policy,
        distillation=distillation,
        scores_lr=config.train.scores_lr,
        lease=lease,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch(folder, trainer))
    trainer.train()
    trainer.pruner.finish()
    model.cpu()

    small = shrink(model, config.shrink.round_to)
    inputs = task.sample_batches(8, 2)
    difference = check(model, small, inputs, task.logit_names, config.shrink.tolerance)
    narrator.shrunk(checkpoint.shape_of(model), checkpoint.shape_of(small), difference)
    checkpoint.save(small, folder.model_dir, task.tokenizer, folder.run_id)

    stage = "pruned" if sites else "dense"
    point = evidence(config, folder.model_dir, dense, task, lease, stage, difference)
    narrator.measured(point)
    record = record_of(config, task, point, start, store, folder)
    (folder.model_dir / "README.md").write_text(card(record))
    record = folder.finish(record)
    narrator.end(record)
    return record


def start_model(config: RunConfig, start: Source, task: Task) -> PreTrainedModel:
    """The network the run starts from: a fresh one, a saved one, or one of the hub."""
    if start.location is None:
        return task.new_model(config.model.scratch)
    return checkpoint.load_any(start.location, task.load_model)


def check_grid(config: RunConfig, model: PreTrainedModel) -> None:
    """Raises ConfigError, before any work, for a length that the model cannot read."""
    longest = getattr(model.config, "max_position_embeddings", None) or math.inf
    asked = max(length for _, length in config.measure.grid)
    for key, length in (("measure.grid", asked), ("task.max_length", config.task.max_length)):
        if length > longest:
            raise ConfigError(f"{key}: the model reads {longest} tokens at most, not {length}")


def training_steps(config: RunConfig, examples: int) -> tuple[int, float]:
    """Optimizer steps of the whole run, and of one epoch."""
    per_epoch = math.ceil(examples / config.train.batch_size / config.train.accumulation)
    return config.train.max_steps or math.ceil(config.train.epochs * per_epoch), per_epoch


def arguments(config: RunConfig, folder: RunFolder) -> TrainingArguments:
    """The Trainer's own settings."""
    train = config.train
    return TrainingArguments(
        output_dir=str(folder.path / "trainer"),
        seed=config.seed,
        num_train_epochs=train.epochs,
        max_steps=train.max_steps or -1,
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.accumulation,
        learning_rate=train.lr,
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


def record_of(
    config: RunConfig, task: Task, point: Point, start: Source, store: Store, folder: RunFolder
) -> Record:
    """The record, with what the run came from and the quality it is to be held against."""
    teacher = find_source(config, config.teacher.name_or_path, store)
    reference = next((s.record.points[-1].quality for s in (teacher, start) if s.record), {})
    return folder.outcome(
        "done",
        metric=task.metric,
        points=[point],
        reference=point.quality if point.stage == "dense" else reference,
        lineage={"model": start.name, "teacher": teacher.name if teacher.location else "none"},
    )
