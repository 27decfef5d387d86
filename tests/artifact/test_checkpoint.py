"""Saved and loaded is the same network; what was truncated, edited or swapped is refused."""

import json
from pathlib import Path

import pytest
import torch
from transformers import BertForQuestionAnswering

import prune
from prune.artifact import checkpoint
from prune.errors import CheckpointError
from tests import tiny
from tests.artifact.test_shrink import kill


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = tiny.bert()
    kill(model, 3, 0.4)
    prune.save(prune.shrink(model), tmp_path / "model", source_run="12345678")
    return tmp_path / "model"


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_loaded_is_saved(tmp_path: Path, density: float) -> None:
    model = tiny.bert()
    kill(model, 5, density)
    small = prune.shrink(model)
    prune.save(small, tmp_path / "model")
    loaded = prune.load(tmp_path / "model")
    assert isinstance(loaded, BertForQuestionAnswering)
    assert checkpoint.shape_of(loaded) == checkpoint.shape_of(small)
    inputs = tiny.batch()
    with torch.no_grad():
        assert torch.equal(loaded(**inputs)[0], small(**inputs)[0])


def test_a_dense_one_is_an_ordinary_folder(tmp_path: Path) -> None:
    model = tiny.bert()
    prune.save(model, tmp_path / "model")
    loaded = BertForQuestionAnswering.from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        assert torch.equal(loaded(**tiny.batch())[0], model(**tiny.batch())[0])


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
