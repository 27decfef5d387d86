"""The card in the folder: its snippets run when pasted there, and what it says is so."""

import dataclasses
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from PIL import Image
from transformers import PreTrainedModel

import prune
from prune.artifact.card import KINDS, card
from prune.artifact.checkpoint import shape_of
from tests import tiny
from tests.analysis import synthetic
from tests.networks import NETWORKS, kill
from tests.tasks import tiny_encoder

TEXT = "who wrote it ada wrote it in 1843"
BERTS = ("ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification",
         "ForMaskedLM", "LMHeadModel", "Model")  # fmt: skip


def saved(folder: Path, kind: str = "ForQuestionAnswering", **changes: Any) -> PreTrainedModel:
    dense = tiny_encoder.save(
        folder / "dense", [TEXT], getattr(transformers, f"Bert{kind}"), **changes
    )
    model: PreTrainedModel = getattr(transformers, f"Bert{kind}").from_pretrained(dense)
    kill(model, 3, 0.5)
    small = prune.shrink(model)
    tokenizer = transformers.BertTokenizer.from_pretrained(dense)
    prune.save(small, folder / "model", tokenizer=tokenizer, source_run="12345678")
    return small


def run(text: str) -> dict[str, Any]:
    """All Python of a card, block after block, as pasted."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    return names


@pytest.mark.parametrize("kind", BERTS)
def test_its_snippets_run(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = saved(tmp_path, kind, is_decoder=kind == "LMHeadModel")
    monkeypatch.chdir(tmp_path / "model")
    names = run(Path("README.md").read_text())
    assert type(names["model"]) is type(small)
    assert shape_of(names["model"]) == shape_of(small)
    assert ("pipe" in names) == (kind != "ForQuestionAnswering")
    if "pipe" in names:
        few = {"max_new_tokens": 3} if kind == "LMHeadModel" else {}
        assert names["pipe"]("who wrote it [MASK]", **few)


def test_every_kind_is_one_of_transformers() -> None:
    for auto, _ in KINDS.values():
        assert hasattr(transformers, auto)


def front(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---")[1])


def test_what_it_says_is_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = saved(tmp_path)
    record = synthetic.record(random.Random(0), "hybrid 32x32", 0.4)
    lineage = {"model": "google-bert/bert-base-uncased", "teacher": "1c0ffee0"}
    record = dataclasses.replace(record, lineage=lineage)
    point = dataclasses.replace(
        record.points[0], heads=shape_of(small).heads, widths=shape_of(small).widths
    )
    (tmp_path / "env.json").write_text(
        json.dumps({"cpu": "A CPU", "versions": {"torch": torch.__version__}})
    )
    text = card(record, point, tmp_path / "model")
    for value in (*point.quality.values(), *record.reference.values()):
        assert f"{value:.2f}" in text
    for cell in point.latency:
        assert (
            f"| {cell.batch} x {cell.length} | eager |" in text and f"{cell.speedup:.2f}x" in text
        )
    assert f"Heads left in each layer: {', '.join(map(str, point.heads))}." in text
    assert f"torch {torch.__version__}" in text and "A CPU" in text
    assert "attention: topk, blocks 32x32" in text and "ffn: topk, rows, sharing pair" in text
    assert "teacher: 1c0ffee0" in text and point.sha256 in text
    assert "prune train " + " ".join(record.overrides) in text
    assert front(text) == {
        "library_name": "transformers",
        "pipeline_tag": "question-answering",
        "tags": ["pruning", "prune"],
        "base_model": "google-bert/bert-base-uncased",
    }
    monkeypatch.chdir(tmp_path / "model")
    assert "model" in run(text)


def test_without_a_tokenizer_and_of_a_dense_model_it_promises_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune.save(tiny.bert(), tmp_path / "dense")
    text = (tmp_path / "dense" / "README.md").read_text()
    assert "okenizer" not in text and "pruned" not in text and "transformers alone" in text
    monkeypatch.chdir(tmp_path / "dense")
    assert "model" in run(text)


def test_images_are_read_by_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = NETWORKS["vit"]()
    kill(model, 3, 0.5)
    size = {"height": 8, "width": 8}
    processor = transformers.ViTImageProcessor(size=size)
    prune.save(prune.shrink(model), tmp_path / "bare")
    prune.save(prune.shrink(model), tmp_path / "model", tokenizer=processor)
    for folder, there in (("bare", False), ("model", True)):
        monkeypatch.chdir(tmp_path / folder)
        assert ("pipe" in run(Path("README.md").read_text())) == there
    picture = Image.new("RGB", (20, 20), "red")
    assert len(run(Path("README.md").read_text())["pipe"](picture)) == 3


def test_a_dense_one_is_not_called_pruned_and_no_folder_is_named(tmp_path: Path) -> None:
    saved(tmp_path)
    record = synthetic.record(random.Random(0), "dense", 1.0)
    record = dataclasses.replace(record, lineage={"model": str(tmp_path / "mine")})
    text = card(record, record.points[0], tmp_path / "model")
    assert "fine-tuned, not pruned" in text and "attention:" not in text
    assert "From mine, 1,000 steps" in text and str(tmp_path) not in text
    assert "base_model" not in front(text)
