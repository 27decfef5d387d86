"""The shrunk network has the logits of the masked one, whatever is dead."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, PreTrainedModel

from prune.artifact import surgery
from prune.artifact.checkpoint import save, shape_of
from prune.artifact.shrink import check, shrink
from prune.errors import ShrinkError
from prune.masks import structure
from prune.speed.measure import count
from tests import tiny
from tests.networks import NETWORKS, inputs, kill, scatter

NAMES = ("start_logits", "end_logits")


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=5, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    density=st.floats(0, 1),
    kind=st.sampled_from([kill, scatter]),
    padding=st.integers(0, 9),
    round_to=st.sampled_from([1, 1, 4, 8, 16]),
)
def test_logits_are_equal(
    name: str,
    seed: int,
    density: float,
    kind: Callable[[PreTrainedModel, int, float], None],
    padding: int,
    round_to: int,
) -> None:
    model = NETWORKS[name](seed)
    kind(model, seed, density)
    small = shrink(model, round_to)
    given = inputs(model, padding)
    with torch.no_grad():
        expected, found = model(**given)[0], small(**given)[0]
    assert (found - expected).abs().max() < 1e-4
    dense, left = shape_of(model), shape_of(small)
    assert all(now <= was for now, was in zip(left.heads, dense.heads, strict=True))
    for width, most in zip(left.widths, dense.widths, strict=True):
        assert width % round_to == 0 or width == most


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_left_is_a_constant(name: str) -> None:
    model = NETWORKS[name](1)
    kill(model, 0, 0.0)
    small = shrink(model)
    with torch.no_grad():
        expected, found = model(**inputs(model))[0], small(**inputs(model))[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert not any((*shape_of(small).heads, *shape_of(small).widths))
    assert count(small).prunable == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_dead_is_no_change(name: str) -> None:
    model = NETWORKS[name](1)
    small = shrink(model)
    assert shape_of(small) == shape_of(model)
    assert small.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(small(**inputs(model))[0], model(**inputs(model))[0])


@pytest.mark.parametrize("name", ["t5", "t5 gated", "bart lm", "gpt2", "llama", "gemma"])
@pytest.mark.parametrize("density", [0.0, 0.5])
def test_generation_is_equal(name: str, density: float) -> None:
    model = NETWORKS[name](3)
    kill(model, 3, density)
    prompt = inputs(model)
    prompt.pop("decoder_input_ids", None)
    rows = {key: value[:1] for key, value in prompt.items()}  # without padding
    how = {"do_sample": False, "max_new_tokens": 6, "min_new_tokens": 6}
    assert torch.equal(shrink(model).generate(**rows, **how), model.generate(**rows, **how))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_left_padding_changes_no_real_place(name: str) -> None:
    model = NETWORKS[name](2)
    kill(model, 3, 0.5)
    given = inputs(model)
    given["attention_mask"] = given["attention_mask"].flip(1)
    with torch.no_grad():
        found, expected = shrink(model)(**given)[0], model(**given)[0]
    real = given["attention_mask"].bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=0)


def test_a_group_goes_only_whole() -> None:
    model = NETWORKS["llama"]()
    first, second = (layer.self_attn for layer in model.model.layers)
    with torch.no_grad():
        first.o_proj.weight[:, :8] = 0  # one of the two heads that read the first key and value
        second.o_proj.weight[:, :16] = 0
    small = shrink(model)
    assert shape_of(small).heads == [4, 2]
    assert small.model.layers[1].self_attn.k_proj.out_features == 8


def test_one_key_for_all_heads() -> None:
    network = NETWORKS["gemma"]
    model = replace(network, changes={**network.changes, "num_key_value_heads": 1})()
    with torch.no_grad():
        model.model.layers[0].self_attn.v_proj.weight.zero_()
    small = shrink(model)
    assert shape_of(small).heads == [0, 4]
    with torch.no_grad():
        found, expected = small(**inputs(model))[0], model(**inputs(model))[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_position_biases_lose_the_heads_of_their_layer() -> None:
    model = NETWORKS["t5"]()
    with torch.no_grad():
        model.encoder.block[1].layer[0].SelfAttention.v.weight[:8] = 0
    small = shrink(model)
    first, second = (block.layer[0].SelfAttention for block in small.encoder.block)
    table = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    assert torch.equal(first.relative_attention_bias.weight, table)
    assert torch.equal(second.relative_attention_bias.weight, table[:, 1:])


def test_a_gated_neuron_with_one_live_side_stays() -> None:
    model = NETWORKS["llama"]()
    mlp = model.model.layers[0].mlp
    with torch.no_grad():
        mlp.gate_proj.weight[:4] = 0  # its bias lives: act(bias) * inner(x) is no constant
        mlp.up_proj.weight[4:8] = 0
        mlp.up_proj.bias[4:6] = 0  # always zero
        mlp.gate_proj.weight[8:10] = 0
        mlp.up_proj.weight[8:10] = 0
    assert shape_of(shrink(model)).widths == [48 - 2 - 2, 48]


def test_it_is_smaller_and_leaves_the_model_alone() -> None:
    model = tiny.bert()
    kill(model, 1, 0.5)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    small = shrink(model)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())


def test_shrinking_twice_changes_nothing() -> None:
    model = tiny.bert()
    kill(model, 2, 0.4)
    once = shrink(model)
    assert shape_of(shrink(once)) == shape_of(once)
    assert check(once, shrink(once), [tiny.batch()], NAMES) == 0


def test_a_dead_query_alone_keeps_its_head() -> None:
    model = tiny.bert(layers=1)
    with torch.no_grad():
        model.bert.encoder.layer[0].attention.self.query.weight[:8] = 0
    small = shrink(model)
    assert shape_of(small).heads == [4]
    assert check(model, small, [tiny.batch()], NAMES) == 0


@pytest.mark.parametrize("role", ["query", "key"])
@pytest.mark.parametrize("name", ["bert", "deberta-v2", "t5", "gpt2", "llama", "modernbert"])
def test_without_query_or_key_attention_is_uniform_and_its_head_stays(name: str, role: str) -> None:
    model = NETWORKS[name]()
    with torch.no_grad():
        for layer in structure.read(model).attention:
            module = model.get_submodule(getattr(layer, role))
            parts = surgery.matrix(module).detach().chunk(layer.rows.count(getattr(layer, role)))
            parts[0 if role == "query" else min(1, len(parts) - 1)].zero_()
    small = shrink(model)
    assert shape_of(small) == shape_of(model)
    with torch.no_grad():
        assert torch.equal(small(**inputs(model))[0], model(**inputs(model))[0])


@pytest.mark.parametrize("name", ["bert", "llama", "modernbert"])
def test_rounding_keeps_the_dead_neurons_of_which_most_is_left(name: str) -> None:
    model = NETWORKS[name]()
    ffn = structure.read(model).ffn[0]
    outer = surgery.matrix(model.get_submodule(ffn.outer)).detach()
    outer[:, :20] = 0  # so 28 live; the rows of the dead are as they were
    for name in dict.fromkeys(ffn.rows):
        for rows in surgery.matrix(model.get_submodule(name)).detach().chunk(ffn.rows.count(name)):
            rows[:20] *= 0.01
            rows[[3, 11, 17, 19]] *= 50
    small = shrink(model, round_to=16)
    assert shape_of(small).widths[0] == 32
    kept = surgery.matrix(small.get_submodule(ffn.rows[0])).detach()[:4]
    expected = surgery.matrix(model.get_submodule(ffn.rows[0])).detach()[[3, 11, 17, 19]]
    assert torch.equal(kept, expected)
    with torch.no_grad():
        found, wanted = small(**inputs(model))[0], model(**inputs(model))[0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_bias_is_made_where_there_was_none_to_fold_into() -> None:
    model = tiny.bert(layers=1)
    layer = model.bert.encoder.layer[0]
    layer.output.dense.bias = None
    with torch.no_grad():
        layer.intermediate.dense.weight[:24] = 0
    small = shrink(model)
    assert small.bert.encoder.layer[0].output.dense.bias is not None
    assert check(model, small, [tiny.batch()], NAMES) < 1e-5


def test_a_difference_is_an_error_that_names_the_layer() -> None:
    model = tiny.bert()
    small = shrink(model)
    with torch.no_grad():
        small.bert.encoder.layer[1].output.dense.weight[:8] += 0.1
    with pytest.raises(ShrinkError, match=r"bert\.encoder\.layer\.1\.output\.dense"):
        check(model, small, [tiny.batch()], NAMES)
    with torch.no_grad():
        small.bert.encoder.layer[1].output.dense.weight[:] = float("nan")
    with pytest.raises(ShrinkError, match=r"differ by nan.* at bert\.encoder\.layer\.1\.output"):
        check(model, small, [tiny.batch()], NAMES)


def test_the_layer_is_searched_in_the_batch_that_differs() -> None:
    model = tiny.bert()
    small = shrink(model)
    rare = next(i for i in range(60) if i not in tiny.batch()["input_ids"])
    with torch.no_grad():
        small.bert.embeddings.word_embeddings.weight[rare] += torch.arange(32)
    other = {name: value.clone() for name, value in tiny.batch().items()}
    other["input_ids"][0, 0] = rare
    with pytest.raises(ShrinkError, match=r"layer\.0\.attention"):
        check(model, small, [tiny.batch(), other], NAMES)


@pytest.mark.slow
def test_a_real_encoder_on_real_questions(shared: Path, tmp_path: Path) -> None:
    folder = str(shared / "models" / "minilm-l6")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    content = json.loads(gzip.decompress((shared / "data/squad/dev-v1.1.json.gz").read_bytes()))
    passages = [p for article in content["data"] for p in article["paragraphs"]]
    pairs = [(p["qas"][0]["question"], p["context"]) for p in passages[:400:50]]
    batch = tokenizer(
        *map(list, zip(*pairs, strict=True)), padding=True, truncation=True, max_length=256,
        return_tensors="pt",
    )  # fmt: skip
    assert batch["attention_mask"].sum(1).unique().numel() > 1
    for seed, density in enumerate((0.05, 0.3, 0.7)):
        model = AutoModelForQuestionAnswering.from_pretrained(folder)
        (kill, scatter)[seed % 2](model, seed, density)
        small = shrink(model, round_to=8)
        assert check(model, small, [batch], NAMES) < 1e-4
        save(small, tmp_path / "model")
        again = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "model")
        assert check(small, again, [batch], NAMES) < 1e-5
        assert shape_of(small) != shape_of(model)
