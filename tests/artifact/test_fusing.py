"""A NoNorm goes into the linear layers that read it, exactly, and only where nothing else does."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, ViTForImageClassification

import prune
from prune.artifact import example
from prune.artifact.fusing import fuse
from prune.nonorm import NoNorm, norms, replace_norms
from tests.networks import NETWORKS

FUSED = {"vit": 4, "vit without biases": 2, "modernbert": 3}  # the others norm behind the residual


@pytest.mark.parametrize("name", NETWORKS)
def test_the_outputs_stay_what_they_were(name: str) -> None:
    model = NETWORKS[name](0)
    for _, norm in norms(model):
        torch.nn.init.normal_(norm.weight, mean=1, std=0.3)
    replace_norms(model)
    inputs = example.inputs(model)
    before = model(**inputs, output_hidden_states=True)
    last = "encoder_last_hidden_state" if "encoder_last_hidden_state" in before else None
    assert len(fuse(model)) == FUSED.get(name, 0)
    after = model(**inputs, output_hidden_states=True)
    torch.testing.assert_close(before[0], after[0], atol=1e-4, rtol=1e-4)
    if last:  # what others read of the model is what it was
        torch.testing.assert_close(before[last], after[last], atol=1e-4, rtol=1e-4)
    assert fuse(model) == []


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    model = NETWORKS["vit"](0)
    replace_norms(model)
    assert len(fuse(model)) == 4
    inputs = example.inputs(model)
    prune.save(prune.shrink(model), tmp_path / "model")
    for again in (
        prune.load(tmp_path / "model"),
        ViTForImageClassification.from_pretrained(tmp_path / "model"),
    ):
        assert torch.equal(again.eval()(**inputs)[0], model(**inputs)[0])
        assert sum(isinstance(module, NoNorm) for module in again.modules()) == 1
    bare = AutoModel.from_pretrained(tmp_path / "model").eval()
    mine = model.vit(**inputs).last_hidden_state
    assert torch.equal(bare(**inputs).last_hidden_state, mine)
