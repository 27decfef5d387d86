"""Swaps: the old network at mix 1, the folded one at mix 0, and a saved one that loads."""

from pathlib import Path

import pytest
import torch

import prune
from prune.errors import ConfigError
from prune.nonorm import NoNorm, norms
from prune.training.swaps import install
from tests import tiny
from tests.networks import NETWORKS, inputs

BOTH = [(True, False), (False, True), (True, True)]


def logits(model: torch.nn.Module) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(**tiny.batch()).start_logits  # type: ignore[no-any-return]


def settled(model: torch.nn.Module) -> None:
    """A few training passes, so that the running moments are those of the data."""
    model.train()
    for seed in range(5):
        model(**tiny.batch(seed=seed))


@pytest.mark.parametrize(("nonorm", "relu"), BOTH)
def test_before_the_first_step_it_is_the_old_network(nonorm: bool, relu: bool) -> None:
    model = tiny.bert()
    before = logits(model)
    swaps = install(model, nonorm, relu)
    assert len(swaps.modules) == 5 * nonorm + 2 * relu
    torch.testing.assert_close(logits(model), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("nonorm", "relu"), BOTH)
def test_at_mix_zero_it_is_the_folded_one(nonorm: bool, relu: bool) -> None:
    model = tiny.bert()
    swaps = install(model, nonorm, relu)
    settled(model)
    swaps.set_mix(0.5)
    half = logits(model)
    swaps.set_mix(0.0)
    last = logits(model)
    assert not torch.allclose(half, last)
    swaps.fold()
    torch.testing.assert_close(logits(model), last, rtol=1e-4, atol=1e-4)
    assert any(isinstance(m, NoNorm) for m in model.modules()) == nonorm
    assert any(isinstance(m, torch.nn.ReLU) for m in model.modules()) == relu
    assert not any(isinstance(m, torch.nn.LayerNorm) for m in model.modules()) or not nonorm


@pytest.mark.parametrize(("nonorm", "relu"), BOTH)
def test_pruned_shrunk_saved_and_loaded(tmp_path: Path, nonorm: bool, relu: bool) -> None:
    model = tiny.bert()
    swaps = install(model, nonorm, relu)
    settled(model)
    pruner = prune.Pruner(model, prune.structured(density=0.5), steps=1000)
    pruner.finish()
    swaps.fold()
    small = prune.shrink(model)
    torch.testing.assert_close(logits(small), logits(model), rtol=1e-4, atol=1e-4)
    prune.save(small, tmp_path / "model")
    assert torch.equal(logits(prune.load(tmp_path / "model")), logits(small))


def test_the_gradient_reaches_the_norms_weights() -> None:
    model = tiny.bert()
    names = {name for name, _ in model.named_parameters()}
    install(model, nonorm=True, relu=False)
    assert {name for name, _ in model.named_parameters()} == names  # the same, by the same names
    model.train()(**tiny.labelled()).loss.backward()
    assert model.bert.embeddings.LayerNorm.weight.grad.abs().sum() > 0


# The head of a BERT language model reads the same field of the config, and is no FFN.
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "bert decoder"])
def test_every_architecture_is_given_back_with_its_swaps(tmp_path: Path, name: str) -> None:
    model = NETWORKS[name]()
    swaps = install(model, nonorm=bool(list(norms(model))), relu=True)
    model.train()
    model(**inputs(model))
    swaps.fold()
    model.eval()
    prune.save(model, tmp_path / "model")
    loaded = prune.load(tmp_path / "model")
    with torch.no_grad():
        expected = model(**inputs(model))[0]
        torch.testing.assert_close(loaded(**inputs(model))[0], expected, atol=1e-5, rtol=1e-5)
        assert expected.isfinite().all()


def test_a_network_without_layer_norms_is_told_so() -> None:
    with pytest.raises(ConfigError, match="LlamaForCausalLM has no LayerNorm to swap"):
        install(NETWORKS["llama"](0), nonorm=True, relu=False)
