"""The proof about a saved artifact: quality, density, size and latency, all of the very one."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from prune.artifact import checkpoint
from prune.config import RunConfig
from prune.records import Latency, Point
from prune.speed import measure
from prune.speed.lease import Lease
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
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    artifact.to(device), dense.to(device)  # type: ignore[arg-type]
    quality = task.evaluate(artifact, config.train.eval_batch_size, config.train.precision)
    with lease.exclusive():
        latency = latencies(config, dense, artifact)
    shape = checkpoint.shape_of(artifact)
    return Point(
        stage=stage,
        quality=quality,
        density=measure.density(measure.count(artifact), measure.count(dense)),
        size_mb=weights.stat().st_size / 1e6,
        dense_size_mb=measure.size_mb(dense),
        latency=latency,
        artifact=folder.name,
        sha256=checkpoint.file_hash(weights),
        heads=shape.heads,
        widths=shape.widths,
        logit_difference=logit_difference,
    )


def latencies(
    config: RunConfig, dense: PreTrainedModel, artifact: PreTrainedModel
) -> list[Latency]:
    """Every cell of `measure.grid`, with `measure.threads` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(config.measure.threads or before)
    try:
        return [
            measure.latency(
                dense,
                artifact,
                batch,
                length,
                config.measure.rounds,
                artifact.config.vocab_size,
                config.seed,
            )
            for batch, length in config.measure.grid
        ]
    finally:
        torch.set_num_threads(before)
