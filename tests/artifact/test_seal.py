"""What was truncated, swapped or edited is refused, with the file and the reason, by any loader."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForQuestionAnswering, BertTokenizer

import prune
from prune.artifact.checkpoint import shape_of
from prune.errors import CheckpointError
from tests import tiny
from tests.networks import kill
from tests.tasks import tiny_encoder

LOADERS: list[Callable[[Path], Any]] = [prune.load, AutoModelForQuestionAnswering.from_pretrained]


def save(folder: Path, seed: int) -> Path:
    """Models of two seeds have the same shape and other weights."""
    model = tiny.bert(seed=seed, hidden_act="gelu" if seed else "relu")
    kill(model, 3, 0.4)
    prune.save(prune.shrink(model), folder / str(seed), BertTokenizer(vocab=VOCABULARY))
    return folder / str(seed)


VOCABULARY = tiny_encoder.vocabulary(["a few words of the trade"])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save(tmp_path, 1)


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])


def flip_a_bit(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])


def swap(name: str) -> Callable[[Path], None]:
    return lambda folder: shutil.copy(save(folder.parent, 0) / name, folder / name)  # type: ignore[return-value]


def section(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        was = json.loads(file.read_text())["quantization_config"]
        edit(file, quantization_config={**was, **changes})

    return change


@pytest.mark.parametrize("load", LOADERS, ids=["prune.load", "from_pretrained"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "model.safetensors is not the file that was saved (wrong hash)"),
        (flip_a_bit, "model.safetensors is not the file that was saved (wrong hash)"),
        (swap("model.safetensors"), "model.safetensors is not the file that was saved"),
        (swap("config.json"), "config.json and prune.json are of two models"),
        (swap("prune.json"), "config.json and prune.json are of two models"),
        (lambda f: edit(f / "config.json", hidden_act="relu"), "config.json is not the file"),
        (lambda f: edit(f / "tokenizer_config.json", do_lower_case=False), "tokenizer_config.json"),
        (section(heads=[4, 4]), "config.json is not the file that was saved"),
        (section(format=2), "config.json: format 2 is not 1: update prune"),
        (section(heads=None), "config.json cannot be read"),
        (section(swaps=["magic"]), "unknown swaps ['magic']: update prune"),
        (lambda f: edit(f / "prune.json", files=[]), "no hashes"),
    ],
)
def test_refused(
    saved: Path, load: Callable[[Path], Any], damage: Callable[[Path], None], reason: str
) -> None:
    load(saved)
    damage(saved)
    with pytest.raises(CheckpointError, match=re.escape(reason)) as caught:
        load(saved)
    assert "\n" not in str(caught.value)


def test_a_dense_one_is_sealed_too(tmp_path: Path) -> None:
    prune.save(tiny.bert(), tmp_path / "model")
    truncate(tmp_path / "model")
    with pytest.raises(CheckpointError, match="wrong hash"):
        prune.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", "{", "config.json cannot be read"),
        ("config.json", "[]", "config.json cannot be read"),
        ("prune.json", "\0", "prune.json cannot be read"),
        ("config.json", None, "config.json is missing"),
        ("prune.json", None, "prune.json is missing"),
        ("model.safetensors", None, "model.safetensors is missing"),
    ],
)
def test_what_is_missing_or_no_json_is_named(
    saved: Path, name: str, content: str | None, reason: str
) -> None:
    (saved / name).unlink()
    if content is not None:
        (saved / name).write_text(content)
    with pytest.raises(CheckpointError, match=re.escape(reason)):
        prune.load(saved)


def test_no_folder_and_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder"):
        prune.load(tmp_path / "deadbeef")
    prune.save(tiny.bert(), tmp_path / "run" / "model")
    with pytest.raises(CheckpointError, match=r"missing; did you mean .*run.model\?"):
        prune.load(tmp_path / "run")
    tiny.bert().save_pretrained(tmp_path / "plain")
    with pytest.raises(CheckpointError, match=r"prune\.json is missing"):
        prune.load(tmp_path / "plain")


def test_the_card_may_be_edited_and_the_tokenizer_left_out(saved: Path) -> None:
    heads = shape_of(prune.load(saved)).heads
    (saved / "README.md").write_text("my own words")
    for file in saved.glob("*token*"):
        file.unlink()
    for load in LOADERS:
        assert shape_of(load(saved)).heads == heads


def test_a_folder_from_before_the_outline_stood_in_the_config(saved: Path) -> None:
    heads = shape_of(prune.load(saved)).heads
    for name, key in (("config.json", "quantization_config"), ("prune.json", "files")):
        content = json.loads((saved / name).read_text())
        del content[key]
        (saved / name).write_text(json.dumps(content))
    loaded = prune.load(saved)
    assert shape_of(loaded).heads == heads != [4, 4]
    assert loaded.config.quantization_config["heads"] == heads  # saved again, it stands there


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("ten years of work")
    for folder in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(CheckpointError, match="name another folder"):
            prune.save(tiny.bert(), folder)
    assert (tmp_path / "thesis.tex").read_text() == "ten years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
