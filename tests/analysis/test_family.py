"""The name of a curve, from a config alone."""

import json
from typing import Any

import pytest

from analysis.family import algorithm, family, part_label, recipe
from prune import compose
from prune.config import as_dict
from prune.store import flat

DENSE = {"name": "dense"}
BLOCK = {"name": "block", "geometry": "block", "block": [32, 32], "algorithm": "topk"}
WIDE = {"name": "block", "geometry": "block", "block": [4, 16], "algorithm": "topk"}
SINGLE = {"name": "unstructured", "geometry": "block", "block": [1, 1], "algorithm": "topk"}
HEADS = {"name": "heads", "geometry": "heads", "algorithm": "sigmoid_threshold"}
NEURONS = {"name": "neurons", "geometry": "rows", "sharing": "pair", "algorithm": "topk"}
ROWS = {"name": "rows", "geometry": "rows", "sharing": "none", "algorithm": "topk"}


@pytest.mark.parametrize(
    ("attention", "ffn", "name"),
    [
        (DENSE, DENSE, "dense"),
        (SINGLE, SINGLE, "unstructured"),
        (BLOCK, BLOCK, "block 32x32"),
        (WIDE, WIDE, "block 4x16"),
        (BLOCK, NEURONS, "hybrid 32x32"),
        (WIDE, NEURONS, "hybrid 4x16"),
        (SINGLE, NEURONS, "hybrid 1x1"),
        (HEADS, NEURONS, "structured"),
        (DENSE, NEURONS, "neurons"),
        (HEADS, DENSE, "heads"),
        (BLOCK, DENSE, "attention block 32x32"),
        (DENSE, BLOCK, "FFN block 32x32"),
        (BLOCK, SINGLE, "block 32x32 + unstructured"),
        (ROWS, NEURONS, "attention rows"),
    ],
)
def test_attention_and_ffn_name_the_family(
    attention: dict[str, Any], ffn: dict[str, Any], name: str
) -> None:
    config = {"attention": attention, "ffn": ffn}
    assert family(config, "pruned") == name
    assert family(config, "dense") == "dense"
    assert family(config, "filled") == ("dense" if name == "dense" else f"{name} filled")


JOINT = {**BLOCK, "name": "joint", "sharing": "joint"}
VALUE = {"name": "value_output", "geometry": "rows", "sharing": "value_output"}
CUSTOM = {"name": "custom", "algorithm": "topk", "rules": [{"pattern": "x"}]}
AMPERE = {"name": "ampere", "algorithm": "ampere", "geometry": "block", "block": [32, 32]}
LARGE = {"name": "bert_large_squad", "name_or_path": "bert-large-uncased"}


@pytest.mark.parametrize(
    ("config", "stage", "name"),
    [
        ({"attention": JOINT, "ffn": NEURONS}, "pruned", "joint 32x32 + neurons"),
        ({"attention": VALUE, "ffn": NEURONS}, "pruned", "value-output + neurons"),
        ({"attention": CUSTOM, "ffn": CUSTOM}, "pruned", "custom"),
        ({"attention": CUSTOM, "ffn": NEURONS}, "pruned", "custom + neurons"),
        ({"attention": AMPERE, "ffn": AMPERE}, "pruned", "2:4"),
        ({"attention": {**BLOCK, "ampere": True}, "ffn": NEURONS}, "pruned", "hybrid 32x32 2:4"),
        (
            {"attention": BLOCK, "ffn": NEURONS, "swap": {"nonorm": True, "relu": True}},
            "filled",
            "hybrid 32x32 NoNorm ReLU filled",
        ),
        ({"attention": DENSE, "ffn": DENSE, "swap": {"relu": True}}, "pruned", "dense ReLU"),
        (
            {"attention": BLOCK, "ffn": NEURONS, "teacher": LARGE},
            "filled",
            "hybrid 32x32 filled, large teacher",
        ),
        (
            {
                "attention": BLOCK,
                "ffn": NEURONS,
                "teacher": LARGE,
                "model": {"name": "bert_large"},
            },
            "pruned",
            "hybrid 32x32, large student",
        ),
    ],
)
def test_what_else_a_config_can_ask_for_has_a_name(
    config: dict[str, Any], stage: str, name: str
) -> None:
    assert family(config, stage) == name
    assert recipe(json.loads(flat.recipe(config))) == recipe(config)  # as the index keeps it


def test_every_experiment_is_a_known_family() -> None:
    names = [n for n in compose.groups()["experiment"] if not n.startswith("dense")]
    named = {n: family(as_dict(compose.load([f"+experiment={n}"])), "pruned") for n in names}
    assert not any("unknown" in label or label == "dense" for label in named.values()), named
    assert named["hybrid_squad"] == "hybrid 32x32" and named["ampere_squad"] == "2:4"
    assert named["hybrid_large_teacher_mnli"] == "hybrid 32x32, large teacher"
    assert named["nonorm_squad"] == "hybrid 32x32 NoNorm"


def test_magnitude_learns_no_scores_and_is_a_family_of_its_own() -> None:
    by_size = {**SINGLE, "algorithm": "magnitude"}
    assert family({"attention": by_size, "ffn": by_size}, "pruned") == "unstructured magnitude"
    assert family({"attention": by_size, "ffn": DENSE}, "pruned") == (
        "attention unstructured magnitude"
    )
    assert family({"attention": by_size, "ffn": SINGLE}, "pruned") == "unstructured"


def test_the_algorithm_is_that_of_the_pruned_parts() -> None:
    assert algorithm({"attention": HEADS, "ffn": NEURONS}) == "sigmoid_threshold + topk"
    assert algorithm({"attention": BLOCK, "ffn": NEURONS}) == "topk"
    assert algorithm({"attention": {**DENSE, "algorithm": "topk"}, "ffn": NEURONS}) == "topk"
    assert algorithm({}) == ""


@pytest.mark.parametrize("config", [{}, {"attention": None}, {"attention": "x", "ffn": []}])
def test_a_config_from_elsewhere_is_not_taken_for_dense(config: dict[str, Any]) -> None:
    assert family(config, "pruned") == "unknown" and family(config, "dense") == "dense"


def test_a_block_of_one_size_only_is_named_as_it_is() -> None:
    assert part_label({"name": "block", "block": [32]}) == "block 32"
