"""Every experiment composes, fits a BERT, and two of its steps change what they should."""

import dataclasses

import pytest
import torch
from transformers import BertConfig, BertForQuestionAnswering

from prune.compose import groups, load
from prune.masks.from_config import policy_of
from prune.masks.pruner import Pruner
from prune.masks.schedule import Schedule
from tests import tiny


@pytest.mark.parametrize("name", groups()["experiment"])
def test_two_steps_of_every_experiment(name: str) -> None:
    config = load([f"+experiment={name}"])
    assert config.experiment == name
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}
    network = BertConfig(vocab_size=60, num_hidden_layers=1, max_position_embeddings=32, **shape)
    model = BertForQuestionAnswering(network).train()
    policy = dataclasses.replace(policy_of(config), schedule=Schedule(0, final=0))
    pruner = Pruner(model, policy, steps=2)
    before = [scores.detach().clone() for scores in pruner.scores()]
    optimizer = torch.optim.AdamW(pruner.parameter_groups(lr=1e-3, scores_lr=1e-2))
    pruner.attach(optimizer)
    for seed in range(2):
        loss = model(**tiny.labelled(seed=seed)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    pruner.finish()
    parts = {site.part for site in pruner.sites}
    pruned = {part for part in ("attention", "ffn") if getattr(config, part).name != "dense"}
    assert parts == pruned
    for old, scores in zip(before, pruner.scores(), strict=True):
        assert torch.isfinite(scores).all() and not torch.equal(old, scores)
    if config.target.density is not None and pruned:
        assert pruner.density() == pytest.approx(config.target.density, abs=0.02)
