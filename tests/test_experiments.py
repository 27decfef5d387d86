"""Every experiment composes, fits a network, and two of its steps change what they should."""

import dataclasses

import pytest
import torch
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForQuestionAnswering,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)

from prune.compose import groups, load
from prune.masks.from_config import policy_of
from prune.masks.pruner import Pruner
from prune.masks.schedule import Schedule
from tests import tiny

SIZES = {
    "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128, "num_hidden_layers": 1,
}  # fmt: skip
SEQ2SEQ = {
    f"{side}_{name}": value
    for side in ("encoder", "decoder")
    for name, value in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 128))
}


def network(task: str) -> PreTrainedModel:
    """A BERT, or what reads pictures or writes."""
    if task == "images":
        return ViTForImageClassification(ViTConfig(image_size=16, patch_size=8, **SIZES))
    if task == "summarization":
        sizes = BartConfig(vocab_size=60, d_model=64, max_position_embeddings=32, **SEQ2SEQ)
        return BartForConditionalGeneration(sizes)
    return BertForQuestionAnswering(BertConfig(vocab_size=60, max_position_embeddings=32, **SIZES))


def labelled(task: str, seed: int) -> dict[str, Tensor]:
    batch = tiny.labelled(seed=seed)
    if task == "images":
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.randn(4, 3, 16, 16, generator=generator)
        return {"pixel_values": pixels, "labels": torch.tensor([0, 1, 0, 1])}
    if task == "summarization":
        return {n: batch[n] for n in ("input_ids", "attention_mask")} | {
            "labels": batch["input_ids"]
        }
    return batch


@pytest.mark.parametrize("name", groups()["experiment"])
def test_two_steps_of_every_experiment(name: str) -> None:
    config = load([f"+experiment={name}"])
    assert config.experiment == name
    torch.manual_seed(0)
    model = network(config.task.name).train()
    policy = dataclasses.replace(policy_of(config), schedule=Schedule(0, final=0))
    pruner = Pruner(model, policy, steps=2)
    before = [scores.detach().clone() for scores in pruner.scores()]
    optimizer = torch.optim.AdamW(pruner.parameter_groups(lr=1e-3, scores_lr=1e-2))
    pruner.attach(optimizer)
    for seed in range(2):
        loss = model(**labelled(config.task.name, seed)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    pruner.finish()
    parts = {site.part.removeprefix("decoder_") for site in pruner.sites}
    pruned = {part for part in ("attention", "ffn") if getattr(config, part).name != "dense"}
    assert parts == pruned
    for old, scores in zip(before, pruner.scores(), strict=True):
        assert torch.isfinite(scores).all() and not torch.equal(old, scores)
    if config.target.density is not None and pruned:
        assert pruner.density() == pytest.approx(config.target.density, abs=0.02)
