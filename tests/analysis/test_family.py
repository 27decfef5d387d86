"""The name of a curve, from a config alone."""

from typing import Any

import pytest

from analysis.family import algorithm, family, part_label

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
        (ROWS, NEURONS, "rows + neurons"),
    ],
)
def test_attention_and_ffn_name_the_family(
    attention: dict[str, Any], ffn: dict[str, Any], name: str
) -> None:
    config = {"attention": attention, "ffn": ffn}
    assert family(config, "pruned") == name
    assert family(config, "dense") == "dense"
    assert family(config, "filled") == ("dense" if name == "dense" else f"{name} filled")


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
