"""Every architecture with a table is found, counted, trained with live masks, and given back."""

import pytest
import torch
from torch import nn
from transformers import (
    BartConfig,
    BartForQuestionAnswering,
    BertConfig,
    BertForQuestionAnswering,
    GPTNeoConfig,
    GPTNeoForCausalLM,
)

import prune
from prune.errors import PolicyError
from prune.masks import structure
from prune.masks.policy import resolve
from tests.networks import NETWORKS, inputs

POLICIES = {
    "hybrid": prune.hybrid(block=(8, 4), density=0.5),
    "structured": prune.structured(density=0.5),
}


def train(model: nn.Module, pruner: prune.Pruner, lr: float, steps: int = 10) -> None:
    optimizer = torch.optim.AdamW(pruner.parameter_groups(lr=lr, scores_lr=0.1))
    pruner.attach(optimizer)
    for _ in range(steps):
        model(**inputs(model))[0].pow(2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_matrix_is_found(name: str) -> None:
    model = NETWORKS[name]()
    sites = resolve(model, POLICIES["hybrid"])
    assert len(sites) == NETWORKS[name].linears
    assert len({site.scores for site in sites}) == NETWORKS[name].scores
    assert {site.module for site in sites} == set(structure.read(model).matrices())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_trains_with_live_masks(name: str, policy: str) -> None:
    model = NETWORKS[name]()
    pruner = prune.Pruner(model, POLICIES[policy], steps=10)
    before = [p.clone() for p in pruner.scores()]
    train(model, pruner, lr=1e-3)
    assert pruner.density() == pytest.approx(0.5, abs=0.02)
    moved = [not torch.equal(a, b) for a, b in zip(before, pruner.scores(), strict=True)]
    assert sum(moved) >= len(moved) - 2  # nothing reads the last layer of some networks
    for module, mask in pruner.masks().items():
        assert 0 < mask.float().mean() < 1, module
    assert model(**inputs(model))[0].isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_restore_gives_the_weights_back(name: str) -> None:
    model = NETWORKS[name]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        expected = model(**inputs(model))[0]
    pruner = prune.Pruner(model, POLICIES["hybrid"], steps=10)
    train(model, pruner, lr=0.0, steps=3)
    pruner.restore()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model(**inputs(model))[0], expected)


@pytest.mark.parametrize(
    ("config", "kind", "linears", "scores"),
    [
        (BertConfig(), BertForQuestionAnswering, 72, 48 + 12),
        (
            BartConfig(encoder_layers=6, decoder_layers=6, d_model=768, encoder_ffn_dim=3072,
                       decoder_ffn_dim=3072, encoder_attention_heads=12,
                       decoder_attention_heads=12),
            BartForQuestionAnswering, 96, 72 + 12,
        ),
    ],
)  # fmt: skip
def test_full_sizes(config: object, kind: type[nn.Module], linears: int, scores: int) -> None:
    with torch.device("meta"):
        model = kind(config)
    sites = resolve(model, prune.hybrid())
    assert len(sites) == linears
    assert len({site.scores for site in sites}) == scores


def test_encoder_and_decoder_are_parts_of_their_own() -> None:
    parts = {site.part for site in resolve(NETWORKS["bart"](), prune.hybrid(block=(8, 8)))}
    assert parts == {"attention", "ffn", "decoder_attention", "decoder_ffn"}


def test_no_block_reaches_over_two_matrices_of_a_fused_one() -> None:
    # 12 divides the 96 rows of query, key and value together, but not the 32 of each.
    with pytest.raises(PolicyError, match=r"does not divide layers\.0\.attn\.Wqkv"):
        resolve(NETWORKS["modernbert"]().model, prune.hybrid(block=(12, 8)))


def test_gate_and_inner_of_a_fused_matrix_die_together() -> None:
    model = NETWORKS["modernbert"]()
    pruner = prune.Pruner(model, POLICIES["hybrid"], steps=10)
    train(model, pruner, lr=1e-3)
    masks = pruner.masks()
    for name in (name for name in masks if name.endswith("Wi")):
        gate, inner = masks[name].chunk(2)
        assert torch.equal(gate, inner)
        neurons = masks[name.replace("Wi", "Wo")].any(0)
        assert torch.equal(gate.any(1), neurons)
        assert neurons.sum() == len(neurons) / 2


def test_an_unknown_architecture_is_told_what_to_write() -> None:
    model = GPTNeoForCausalLM(
        GPTNeoConfig(hidden_size=16, num_layers=2, num_heads=2, vocab_size=20,
                     attention_types=[[["global"], 2]])
    )  # fmt: skip
    with pytest.raises(PolicyError, match="no table for the architecture 'gpt_neo'") as caught:
        prune.Pruner(model, prune.hybrid(), steps=10)
    message = str(caught.value)
    assert "transformer.h.0.mlp.c_fc" in message
    assert r'Rule(r"transformer\.h\.\d+\.mlp\.c_fc", TopK(0.5), Block(32, 32))' in message
