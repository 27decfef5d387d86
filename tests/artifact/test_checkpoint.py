"""Saved and loaded is the same network; what was truncated, edited or swapped is refused."""

import json
from pathlib import Path

import pytest
import torch
from transformers import GPTNeoConfig, GPTNeoForSequenceClassification

import prune
from prune.artifact import checkpoint
from prune.errors import CheckpointError
from prune.masks.algorithms import Magnitude
from prune.masks.geometry import Block
from prune.masks.policy import Rule
from prune.speed import measure
from tests import tiny
from tests.networks import NETWORKS, inputs, kill


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = tiny.bert()
    kill(model, 3, 0.4)
    prune.save(prune.shrink(model), tmp_path / "model", source_run="12345678")
    return tmp_path / "model"


@pytest.mark.parametrize("density", [0.0, 0.5])
@pytest.mark.parametrize("name", NETWORKS)
def test_loaded_is_saved(tmp_path: Path, name: str, density: float) -> None:
    model = NETWORKS[name](5)
    kill(model, 5, density)
    small = prune.shrink(model)
    prune.save(small, tmp_path / "model")
    loaded = prune.load(tmp_path / "model")
    assert type(loaded) is type(model)
    assert checkpoint.shape_of(loaded) == checkpoint.shape_of(small)
    with torch.no_grad():
        assert torch.equal(loaded(**inputs(model))[0], small(**inputs(model))[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_dense_one_is_an_ordinary_folder(tmp_path: Path, name: str) -> None:
    model = NETWORKS[name]()
    prune.save(model, tmp_path / "model")
    loaded = type(model).from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        assert torch.equal(loaded(**inputs(model))[0], model(**inputs(model))[0])


def test_a_shrunk_one_saves_again(tmp_path: Path) -> None:
    model = NETWORKS["t5"]()
    kill(model, 5, 0.4)
    prune.save(prune.shrink(model), tmp_path / "once")
    digest = prune.save(prune.load(tmp_path / "once"), tmp_path / "twice")
    assert digest == checkpoint.file_hash(tmp_path / "once" / "model.safetensors")


def test_saving_again_replaces(saved: Path) -> None:
    model = tiny.bert(seed=9)
    prune.save(model, saved)
    assert checkpoint.shape_of(prune.load(saved)).heads == [4, 4]
    assert sorted(p.name for p in saved.parent.iterdir()) == ["model"]


def test_a_loaded_network_trains_on(saved: Path) -> None:
    model = prune.load(saved).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = model(**tiny.labelled()).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_damage_is_refused(saved: Path) -> None:
    weights = saved / "model.safetensors"
    content = weights.read_bytes()
    for damaged in (content[:-10], content[:-1] + bytes([content[-1] ^ 1])):
        weights.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="wrong hash"):
            prune.load(saved)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        prune.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99 is not 1"),
        ({"class": "AutoTokenizer"}, "not a model of transformers"),
        ({"class": "os.system"}, "not a model of transformers"),
        ({"heads": [1]}, "1 layers"),
        ({"heads": None}, "cannot be read"),
        ({"heads": ["a", "b"]}, "cannot be read"),
        ({"heads": [4, 4]}, "does not describe the weights"),
    ],
)
def test_edits_are_refused(saved: Path, change: dict[str, object], message: str) -> None:
    file = saved / "prune.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(CheckpointError, match=message):
        prune.load(saved)
    file.write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        prune.load(saved)


def test_a_folder_that_is_none_of_ours(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"prune\.json is missing"):
        prune.load(tmp_path)


def test_an_architecture_without_a_table_is_pruned_by_rules_and_kept_as_it_is(
    tmp_path: Path,
) -> None:
    config = GPTNeoConfig(
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        vocab_size=20,
        attention_types=[[["global"], 2]],
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = GPTNeoForSequenceClassification(config)
    pruner = prune.Pruner(model, [Rule(r".*\.c_(?:fc|proj)", Magnitude(0.5), Block(4, 4))], steps=4)
    pruner.step = 4
    pruner.apply()
    pruner.finish()
    checkpoint.save(prune.shrink(model), tmp_path / "model")
    loaded = checkpoint.load(tmp_path / "model")
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight)
    left, dense = measure.count(loaded), measure.count(GPTNeoForSequenceClassification(config))
    assert left.prunable == dense.prunable and left.nonzero < 0.8 * dense.nonzero
    assert checkpoint.shape_of(loaded) == checkpoint.Shape([], [])
