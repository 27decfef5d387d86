"""The story of one run, read top to bottom.

What it needs first (its dense model, its teacher) is run first. Then data, model and policy;
training with masks between the steps, and the runs that are forked from it; the shrunk network and
the proof that it is equal; the saved artifact and the measurements of that very artifact; perhaps
the same again with its zeros filled. The result is recorded last.
"""

from collections.abc import Sequence

from transformers import PreTrainedModel, set_seed

from prune import compose
from prune.aiming import verdict
from prune.artifact import checkpoint
from prune.artifact.card import card
from prune.artifact.fill import fill
from prune.artifact.fusing import fuse
from prune.artifact.shrink import check, shrink
from prune.config import RunConfig, run_id
from prune.errors import StoreError
from prune.evidence import evidence
from prune.forks import forked
from prune.masks.picture import picture
from prune.masks.policy import Policy
from prune.masks.pruner import Pruner
from prune.overrides import overrides_of
from prune.phase import trainer_of
from prune.records import Point, Record
from prune.speed.malloc import keep_memory
from prune.store import RunFolder, Store
from prune.work import Work, prepare


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
    keep_memory()
    work = prepare(config, store, folder)
    pruner = train(work, "train", work.model, work.policy, config.train.epochs, config.train.lr)
    with folder.not_counted():
        for fork in forked(config):
            ensure(fork, overrides_of(fork), store)
    pruner.finish()
    work.density = pruner.density() * work.left
    folder.keep_masks(picture(pruner))
    work.swaps.fold()
    fuse(work.model)
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


def train(
    work: Work, phase: str, model: PreTrainedModel, policy: Policy, epochs: float, lr: float
) -> Pruner:
    """Fine-tune `model`, with masks between the steps where `policy` has any.

    Goes on from the last checkpoint of this phase, if an earlier attempt left one, or from that of
    the run that this one was forked from.
    """
    if not epochs:  # a phase that is not wanted, as when the zeros of another run are filled
        return Pruner(model, Policy(), 0)
    trainer = trainer_of(work, phase, model, policy, epochs, lr)
    found = trainer.checkpoints.latest()
    if found:
        work.folder.resume(work.steps + found.step, found.seconds)
        work.narrator.resumed(found.step, found.steps)
    trainer.go_on(found or (work.fork if phase == "train" else None))
    work.folder.spent_on("training")
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
    shapes = checkpoint.shape_of(work.dense), checkpoint.shape_of(small)
    work.narrator.shrunk(*shapes, work.difference)
    work.folder.spent_on("shrinking")
    return small


def keep(work: Work, model: PreTrainedModel, stage: str, name: str) -> Point:
    """Save `model` as `name` in the run's folder, and measure what was saved."""
    path = work.folder.path / name
    checkpoint.save(model, path, work.task.processor, work.folder.run_id)
    point = evidence(work.config, path, work.dense, work.task, work.lease, stage, work.difference)
    work.narrator.measured(point)
    work.folder.spent_on("measuring")
    if stage == "pruned" and work.config.train.epochs:  # else another run was asked for a target
        measured = work.goal.measured if work.goal else None
        whole = work.dense.num_parameters()
        if line := verdict(work.config, point, whole, work.density, measured):
            work.narrator.say(line)
    return point


def record_of(work: Work, points: list[Point]) -> Record:
    """The record, with what the run came from and the quality it is to be held against."""
    sources = (work.teacher, work.start)
    reference = next((reference_of(s.record) for s in sources if s.record), {})
    return work.folder.outcome(
        "done",
        metric=work.task.metric,
        points=points,
        reference=points[0].quality if points[0].stage == "dense" else reference,
        lineage=lineage(work),
    )


def lineage(work: Work) -> dict[str, str]:
    """Where the run came from: names of models, ids of runs."""
    found = {"model": work.start.name, "teacher": work.teacher.name}
    if work.fork and work.config.train.trunk:
        found["trunk"] = f"{work.config.train.trunk} at step {work.fork.step}"
    return found


def reference_of(record: Record) -> dict[str, float]:
    """The quality that what comes of this run is held against: that of its dense model."""
    last = record.points[-1]
    return last.quality if last.stage == "dense" else record.reference
