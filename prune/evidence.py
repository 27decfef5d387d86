"""The proof about a saved artifact: quality, density, size and latency, all of the very one."""

import dataclasses
from pathlib import Path

from transformers import PreTrainedModel

from prune.artifact import checkpoint
from prune.config import RunConfig
from prune.records import Latency, Point
from prune.speed import measure
from prune.speed.lease import Lease
from prune.speed.machine import best_device
from prune.speed.runtimes import FROM_MODEL
from prune.speed.workload import Workload
from prune.tasks.base import Task


def evidence(
    config: RunConfig,
    folder: Path,
    dense: PreTrainedModel,
    task: Task,
    lease: Lease,
    stage: str,
    logit_difference: float,
) -> Point:
    """Load the model saved in `folder` and measure it against `dense`."""
    artifact = checkpoint.load(folder)
    weights = folder / checkpoint.WEIGHTS_FILE
    device = best_device()
    artifact.to(device), dense.to(device)  # type: ignore[arg-type]
    digest = checkpoint.file_hash(weights)
    quality = task.evaluate(artifact, config.train.eval_batch_size, config.train.precision)
    with lease.exclusive():
        latency = latencies(config, dense, artifact, task)
    shape = checkpoint.shape_of(artifact)
    return Point(
        stage=stage,
        quality=quality,
        density=measure.density(measure.count(artifact), measure.count(dense)),
        size_mb=weights.stat().st_size / 1e6,
        dense_size_mb=measure.size_mb(dense),
        latency=[dataclasses.replace(cell, sha256=digest) for cell in latency],
        artifact=folder.name,
        sha256=digest,
        heads=shape.heads,
        widths=shape.widths,
        logit_difference=logit_difference,
    )


def latencies(
    config: RunConfig, dense: PreTrainedModel, artifact: PreTrainedModel, task: Task
) -> list[Latency]:
    """Every cell of `measure.grid` in every runtime of `measure.runtimes`, the first one first."""
    asked, found = config.measure, []
    lengths = tuple(task.eval["length"]) if asked.real_length else ()
    works = [Workload(batch, length) for batch, length in asked.grid]
    if lengths:
        works += [dataclasses.replace(w, lengths=lengths, padded=False) for w in works]
    with measure.threads(asked.threads):
        for name in asked.runtimes:
            networks = FROM_MODEL[name](dense, None), FROM_MODEL[name](artifact, None)
            for work in works:
                cell = measure.pair(*networks, artifact, work, asked.rounds, config.seed)
                found.append(cell)
    return found
