"""`from_pretrained` gives pruned models back, in every architecture, and keeps on doing so."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizer,
    PreTrainedModel,
    T5EncoderModel,
    Trainer,
    TrainingArguments,
    pipeline,
)
from transformers.pipelines import PIPELINE_REGISTRY

import prune
from prune.artifact.card import KINDS
from prune.artifact.checkpoint import Shape, reshape, shape_of
from prune.errors import CheckpointError
from prune.nonorm import replace_norms
from tests import tiny
from tests.networks import NETWORKS, inputs, kill
from tests.tasks import tiny_encoder

TEXT = "ada wrote it in 1843 and nobody read it"


def pruned(name: str = "bert", seed: int = 3, density: float = 0.4) -> PreTrainedModel:
    model = NETWORKS[name](seed)
    kill(model, seed, density)
    return prune.shrink(model)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prune.save(pruned(), tmp_path / "model")
    return tmp_path / "model"


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs(model))[0]


EMPTY = ("albert", "t5", "gpt2", "llama")


@pytest.mark.parametrize(
    ("name", "density"), [*((name, 0.4) for name in NETWORKS), *((name, 0.0) for name in EMPTY)]
)
def test_auto_and_own_class_and_saved_again(tmp_path: Path, name: str, density: float) -> None:
    small = pruned(name, density=density)
    kind = type(small)
    auto = next(auto for end, (auto, _) in KINDS.items() if kind.__name__.endswith(end))
    auto = "AutoModelForTextEncoding" if kind is T5EncoderModel else auto
    prune.save(small, tmp_path / "first")
    loaded = getattr(transformers, auto).from_pretrained(tmp_path / "first")
    assert type(loaded) is kind and not loaded.training
    loaded.save_pretrained(tmp_path / "second")
    again = kind.from_pretrained(tmp_path / "second")
    third = prune.load(tmp_path / "second")
    for model in (loaded, again, third):
        assert shape_of(model) == shape_of(small)
        torch.testing.assert_close(logits(model), logits(small), atol=1e-6, rtol=0)


def test_it_is_an_ordinary_model_afterwards(folder: Path) -> None:
    loaded = AutoModelForQuestionAnswering.from_pretrained(folder)
    assert not getattr(loaded, "is_quantized", False)
    assert not hasattr(loaded, "hf_quantizer") and not hasattr(loaded, "quantization_method")
    assert "_is_quantized" not in vars(loaded.config)
    loaded.half().float()
    assert shape_of(copy.deepcopy(loaded)) == shape_of(loaded)
    assert shape_of(prune.shrink(loaded)) == shape_of(loaded)


FRESH = """
import sys, json, prune
assert not {"torch", "transformers"} & set(sys.modules)
from transformers import AutoModelForQuestionAnswering
model = AutoModelForQuestionAnswering.from_pretrained(sys.argv[1])
print("ROWS", [l.attention.self.query.out_features for l in model.bert.encoder.layer
               if hasattr(l.attention.self, "query")])
"""
WITHOUT = """
import sys
from transformers import AutoModelForQuestionAnswering
for folder in sys.argv[1:]:
    try:
        AutoModelForQuestionAnswering.from_pretrained(folder)
        print("LOADED", folder)
    except RuntimeError as error:
        print("REFUSED", "ismatch" in str(error))
import prune
for folder in sys.argv[1:]:
    AutoModelForQuestionAnswering.from_pretrained(folder)
    print("GIVEN BACK")
"""


def python(code: str, *words: str) -> list[str]:
    command = [sys.executable, "-c", code, *words]
    here = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": here}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_import_prune_first_loads_nothing_and_is_enough(folder: Path) -> None:
    heads = shape_of(prune.load(folder)).heads
    assert python(FRESH, str(folder)) == [f"ROWS {[8 * h for h in heads if h]}"]


def test_without_import_prune_it_is_refused_and_never_garbage(tmp_path: Path, folder: Path) -> None:
    constant, swapped = pruned(density=0.0), NETWORKS["bert"]()
    replace_norms(swapped)  # the one change that leaves all matrices as they are
    prune.save(constant, tmp_path / "constant")
    prune.save(swapped, tmp_path / "swapped")
    folders = [str(folder), str(tmp_path / "constant"), str(tmp_path / "swapped")]
    assert python(WITHOUT, *folders) == ["REFUSED True"] * 3 + ["GIVEN BACK"] * 3


def test_the_bare_encoder_and_a_new_head(folder: Path) -> None:
    whole = AutoModelForQuestionAnswering.from_pretrained(folder)
    bare = AutoModel.from_pretrained(folder)
    assert torch.equal(bare(**inputs(whole))[0], whole.bert(**inputs(whole))[0])
    other = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=5)
    assert other(**inputs(whole)).logits.shape == (2, 5)
    assert shape_of(other) == shape_of(whole)


def test_the_encoder_of_an_encoder_and_decoder(tmp_path: Path) -> None:
    small = pruned("t5")
    prune.save(small, tmp_path / "t5")
    encoder = T5EncoderModel.from_pretrained(tmp_path / "t5")
    ids = inputs(small)["input_ids"]
    torch.testing.assert_close(encoder(ids)[0], small.encoder(ids)[0])


@pytest.mark.parametrize("device_map", [None, "auto", "cpu", {"": "cpu"}])
def test_precision_and_place(folder: Path, device_map: object) -> None:
    asked = {"dtype": torch.bfloat16, "device_map": device_map}
    for loaded in (
        AutoModelForQuestionAnswering.from_pretrained(folder, **asked),
        prune.load(folder, **asked),
    ):
        assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
        exact = logits(prune.load(folder))
        assert (logits(loaded).float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_what_was_saved_in_half_precision_stays_so(tmp_path: Path) -> None:
    prune.save(pruned().bfloat16(), tmp_path / "model")
    assert prune.load(tmp_path / "model").dtype == torch.bfloat16
    assert prune.load(tmp_path / "model", dtype="float32").dtype == torch.float32


class Largest(TorchDispatchMode):
    """Remembers how many elements the largest real tensor had that was made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and not tensor.is_meta:
                self.elements = max(self.elements, tensor.numel())
        return result


def test_it_is_never_held_in_memory_at_its_dense_size(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=9,
                        intermediate_size=40_000, max_position_embeddings=8)  # fmt: skip
    with torch.device("meta"):
        model = BertForSequenceClassification(config)
    reshape(model, Shape([1, 2], [3, 4]))
    model.to_empty(device="cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.zero_()
    prune.save(model, tmp_path / "model")
    with Largest() as mode:
        loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert shape_of(loaded) == Shape([1, 2], [3, 4])
    assert mode.elements == 40_000  # which neurons stay; a dense FFN has 2,560,000 weights


def test_the_trainer_goes_on_and_its_checkpoints_load(folder: Path, tmp_path: Path) -> None:
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    before, shape = logits(model), shape_of(model)
    batch = {**inputs(model), "start_positions": torch.ones(2), "end_positions": torch.ones(2)}
    rows = [{k: v[i].long() for k, v in batch.items()} for i in range(2)] * 4
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"), max_steps=4, save_steps=4, learning_rate=1e-2,
        report_to=[], disable_tqdm=True, use_cpu=True, logging_steps=1,
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    trained = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "out/checkpoint-4")
    assert shape_of(trained) == shape
    assert torch.equal(logits(trained), logits(model.eval()))
    assert not torch.equal(logits(trained), before)
    resumed = Trainer(
        AutoModelForQuestionAnswering.from_pretrained(folder), arguments, train_dataset=rows
    )
    arguments.max_steps = 5
    resumed.train(resume_from_checkpoint=str(tmp_path / "out/checkpoint-4"))
    assert resumed.state.global_step == 5


def test_saved_again_into_the_same_folder(folder: Path) -> None:
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    with torch.no_grad():
        model.qa_outputs.bias += 1
    expected = logits(model)
    model.save_pretrained(folder)  # prune.json there is of the weights before
    for loaded in (prune.load(folder), AutoModelForQuestionAnswering.from_pretrained(folder)):
        assert torch.equal(logits(loaded), expected)


def test_the_files_of_save_pretrained_are_all_that_a_repository_needs(
    folder: Path, tmp_path: Path
) -> None:
    """push_to_hub uploads what save_pretrained writes into an empty folder."""
    model = prune.load(folder)
    model.save_pretrained(tmp_path / "repository")
    written = {path.name for path in (tmp_path / "repository").iterdir()}
    assert written == {"config.json", "model.safetensors"}
    config = json.loads((tmp_path / "repository/config.json").read_text())
    assert config["quantization_config"]["heads"] == shape_of(model).heads
    assert "auto_map" not in config
    again = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "repository")
    assert torch.equal(logits(again), logits(model))
    model.save_pretrained(tmp_path / "sharded", max_shard_size="10KB")
    assert torch.equal(logits(prune.load(tmp_path / "sharded")), logits(model))


def test_a_quantized_model_is_not_saved(tmp_path: Path) -> None:
    model = tiny.bert()
    model.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    with pytest.raises(CheckpointError, match="before quantizing"):
        prune.save(model, tmp_path / "model")


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        (BertForSequenceClassification, "text-classification"),
        (transformers.BertForTokenClassification, "token-classification"),
        (tiny.BertForQuestionAnswering, "question-answering"),
        (transformers.BertForMaskedLM, "fill-mask"),
        (transformers.BertModel, "feature-extraction"),
    ],
)
def test_pipelines(tmp_path: Path, kind: type[PreTrainedModel], task: str) -> None:
    if task not in PIPELINE_REGISTRY.get_supported_tasks():
        pytest.skip(f"transformers {transformers.__version__} has no pipeline {task!r}")
    dense = tiny_encoder.save(tmp_path / "dense", [TEXT], kind)
    model, tokenizer = kind.from_pretrained(dense), BertTokenizer.from_pretrained(dense)
    kill(model, 3, 0.4)
    prune.save(prune.shrink(model), tmp_path / "model", tokenizer=tokenizer)
    asked = {"question": "who wrote it", "context": TEXT}
    asked = asked if task == "question-answering" else {"inputs": TEXT.replace("1843", "[MASK]")}
    found = pipeline(task, model=str(tmp_path / "model"))(**asked)
    expected = pipeline(task, model=prune.load(tmp_path / "model"), tokenizer=tokenizer)(**asked)
    assert found and str(found) == str(expected)
