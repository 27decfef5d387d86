"""What a model or data set that cannot be had gets: one line, at once, and what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import BertConfig, BertForQuestionAnswering

from prune import tasks
from prune.config import TaskConfig
from prune.errors import ConfigError, MissingInputError
from prune.tasks.toy import Toy, toy_tokenizer


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A complete model folder."""
    tokenizer = toy_tokenizer()
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=len(tokenizer), num_hidden_layers=1, **sizes)
    BertForQuestionAnswering(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def toy() -> Toy:
    return Toy(TaskConfig("toy", max_length=64), toy_tokenizer(), 0)


def test_a_folder_gives_model_and_tokenizer(saved: Path) -> None:
    assert len(tasks.processor_for(TaskConfig("squad"), str(saved))) == len(toy_tokenizer())
    assert toy().load_model(str(saved)).config.hidden_size == 16


def test_half_precision_weights_are_trained_in_fp32(saved: Path) -> None:
    BertForQuestionAnswering.from_pretrained(saved).half().save_pretrained(saved)
    assert {str(p.dtype) for p in toy().load_model(str(saved)).parameters()} == {"torch.float32"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "the model in .* cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be read: Error no file"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"1234567890"),
            "the model in .* cannot be read",
        ),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps({"model_type": "vit"})),
            "the model in .* cannot be read",
        ),
    ],
)
def test_a_spoilt_folder_says_what_is_wrong(saved: Path, spoil: object, message: str) -> None:
    assert callable(spoil)
    spoil(saved)
    with pytest.raises(MissingInputError, match=message) as caught:
        toy().load_model(str(saved))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_says_so(saved: Path) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (saved / file).unlink()
    with pytest.raises(MissingInputError, match=r"tokenizer\.json or .* is missing"):
        tasks.processor_for(TaskConfig("squad"), str(saved))
    (saved / "tokenizer_config.json").write_text("{}")
    with pytest.raises(MissingInputError, match="has no tokenizer: its vocabulary is missing"):
        tasks.processor_for(TaskConfig("squad"), str(saved))


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingInputError, match=r"there is no model folder \./nowhere"):
        tasks.processor_for(TaskConfig("squad"), "./nowhere")


def test_squad_from_scratch_needs_a_model() -> None:
    with pytest.raises(ConfigError, match="needs a pretrained model"):
        tasks.processor_for(TaskConfig("squad"), None)


OFFLINE = """
from prune import tasks
from prune.config import TaskConfig
from prune.errors import MissingInputError
from prune.tasks import squad_reader
from prune.tasks.glue import GlueTask
from prune.tasks.toy import Toy, toy_tokenizer

for ask in (
    lambda: tasks.processor_for(TaskConfig("squad"), "no/model"),
    lambda: Toy(TaskConfig("toy"), toy_tokenizer(), 0).load_model("no/model"),
    lambda: squad_reader.read("train", None),
    lambda: GlueTask(TaskConfig("mnli"), toy_tokenizer(), 0).read("train"),
):
    try:
        ask()
    except MissingInputError as error:
        print(error)
"""


def test_no_network_and_no_copy_is_one_line_at_once(tmp_path: Path) -> None:
    """With a hub whose name has no address, and the client's offline switch not set."""
    hidden = {"HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
    kept = {k: v for k, v in os.environ.items() if k.upper() not in hidden}
    ran = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env=kept | {"HF_ENDPOINT": "https://hub.invalid", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    tokenizer, model, data, glue = ran.stdout.splitlines()
    assert "the tokenizer 'no/model' is not here" in tokenizer
    assert "the model 'no/model' is not here" in model and "model.name_or_path=FOLDER" in model
    assert "task.data_dir=FOLDER" in data
    assert "nyu-mll/glue (mnli)" in glue and "train.tsv, dev_matched.tsv" in glue
    assert "Retrying" not in ran.stderr  # each file would cost half a minute
