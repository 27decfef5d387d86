"""The teacher a configuration asks for, with its logits from the cache of the whole store."""

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prune.artifact import checkpoint
from prune.config import RunConfig
from prune.narrator import Narrator
from prune.sources import Source
from prune.speed.machine import best_device
from prune.store import Store
from prune.tasks.base import Task
from prune.training.distillation import (
    Distillation,
    OnlineTeacher,
    Teacher,
    without_labels,
)
from prune.training.teacher_cache import CachedTeacher, cache_key, cached


def distillation_of(
    config: RunConfig,
    model: PreTrainedModel,
    task: Task,
    source: Source,
    store: Store,
    narrator: Narrator,
) -> Distillation | None:
    """None, and said so, for a run without a teacher."""
    wanted = config.teacher
    if source.location is None:
        narrator.say("  teacher     none")
        return None
    network = checkpoint.load_any(source.location, task.load_teacher)
    task.check(network, f"the teacher {source.name}")
    task.check_teacher(network, model, source.name)
    teacher: Teacher = OnlineTeacher(network, task.logit_names)
    how = "asked in every step"
    if wanted.cache and task.caches_logits:
        teacher = cached_teacher(config, network, task, store)
        how = f"logits cached, {teacher.size_mb:.3g} MB"
    record = source.record
    score = f" ({task.metric} {record.points[-1].quality[task.metric]:.1f})" if record else ""
    narrator.say(f"  teacher     {source.name}{score}   {how}")
    return Distillation(
        teacher, task.logit_names, wanted.temperature, wanted.distil_weight, wanted.task_weight
    )


def cached_teacher(
    config: RunConfig, network: PreTrainedModel, task: Task, store: Store
) -> CachedTeacher:
    """Its logits on the whole training set, computed now if no run has done it yet."""
    shape = (len(task.train), len(task.logit_names), *task.logits_shape())
    precision = config.train.precision
    key = cache_key(weights_hash(network), task.fingerprint(), precision, str(shape))

    def produce() -> Iterable[tuple[Sequence[int], Sequence[Tensor]]]:
        return answers(network, task, config.train.eval_batch_size, precision)

    return cached(store.root / ".teachers", key, shape, produce, task.logits_follow_tokens)


@torch.inference_mode()
def answers(
    network: PreTrainedModel, task: Task, batch_size: int, precision: str
) -> Iterable[tuple[Sequence[int], Sequence[Tensor]]]:
    """Indexes and logits of the training set, batch by batch, similar lengths together."""
    device = best_device()
    network.to(device).train(False)  # type: ignore[arg-type]
    order = sorted(range(len(task.train)), key=task.train["length"].__getitem__)
    for start in range(0, len(order), batch_size):
        batch = task.collate([task.train[i] for i in order[start : start + batch_size]])
        inputs = {name: value.to(device) for name, value in without_labels(batch).items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            outputs = network(**inputs)
        yield batch["index"].tolist(), [outputs[name] for name in task.logit_names]


def weights_hash(network: nn.Module) -> str:
    """sha256 of all tensors of a network, in the order of its state."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
