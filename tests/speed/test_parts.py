"""The parts of a network: all its layers are found, and what is timed is inside of the whole."""

from functools import partial

import pytest
import torch

from prune.artifact import checkpoint, example
from prune.masks import structure
from prune.speed.parts import clocked, layer_of, operations, parts_of, seconds
from tests import tiny
from tests.networks import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parts_of_every_architecture_can_be_timed(name: str) -> None:
    model = NETWORKS[name]()
    parts = parts_of(model)
    found = structure.known(model)
    assert len(parts) == len(found.attention) + len(found.ffn)
    assert {p for part in parts for p in part.products} == set(found.matrices())
    inside = [n for part in parts for n in (part.layer, part.rest, *part.products)]
    call = partial(model, **example.inputs(model))
    with torch.inference_mode():
        spans = clocked(model, inside, call)
        counts = operations(model, parts, call)
    assert all(spans[name] > 0 for name in inside) and all(count > 0 for count in counts)
    for layer in {part.layer for part in parts}:
        own = [part for part in parts if part.layer == layer]
        assert 0 < seconds(own, spans) < spans[layer] < spans[""]
        assert all(part.rest_s(spans) > 0 for part in own)


def test_operations_are_counted_by_hand() -> None:
    model = tiny.bert(layers=1)  # hidden 32, 4 heads of 8, 48 neurons
    attention, ffn = operations(model, parts_of(model), partial(model, **tiny.batch(3, 10)))
    tokens = 3 * 10
    assert ffn == 2 * tokens * 2 * 32 * 48
    assert attention == 2 * tokens * 4 * 32 * 32 + 2 * 2 * tokens * 10 * 32
    checkpoint.reshape(model, checkpoint.Shape([1], [12]))
    few = operations(model, parts_of(model), partial(model, **tiny.batch(3, 10)))
    assert few == [attention / 4, ffn / 4]


def test_a_layer_of_which_nothing_is_left_costs_next_to_nothing() -> None:
    model = tiny.bert()
    checkpoint.reshape(model, checkpoint.Shape([0, 4], [0, 48]))
    parts = parts_of(model)
    assert [part.units for part in parts] == [0, 4, 0, 48]
    assert parts[0].products == parts[2].products == ()
    inside = [n for part in parts for n in (part.layer, part.rest, *part.products)]
    call = partial(model, **tiny.batch())
    assert clocked(model, inside, call)[parts[0].layer] > 0
    assert operations(model, parts, call)[::2] == [0, 0]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("bert.encoder.layer.11.attention", "bert.encoder.layer.11"),
        ("encoder.block.0.layer.1.DenseReluDense", "encoder.block.0"),
        ("transformer.h.3.mlp", "transformer.h.3"),
        ("attention", "attention"),
    ],
)
def test_the_name_of_a_layer(name: str, layer: str) -> None:
    assert layer_of(name) == layer
