"""What the masks say would be left is what shrinking leaves."""

import pytest
import torch

import prune
from prune.artifact.shape import shape_of
from prune.masks.algorithms import SigmoidThreshold, TopK
from prune.masks.anatomy import Anatomy
from prune.masks.geometry import Block, Heads, Rows
from prune.masks.policy import Part, Policy
from tests.networks import NETWORKS

FAMILIES = {
    "blocks and neurons": Policy(
        Part(SigmoidThreshold(min_density=0), Block(4, 4)),
        Part(SigmoidThreshold(min_density=0), Rows(), sharing="pair"),
    ),
    "heads alone": Policy(attention=Part(TopK(0.5), Heads())),
}


@pytest.mark.parametrize(("seed", "round_to"), [(0, 1), (1, 1), (1, 8), (0, 1000)])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["bert", "bart", "gpt2", "llama", "modernbert", "t5"])
def test_left_is_what_shrinking_leaves(name: str, family: str, seed: int, round_to: int) -> None:
    model = NETWORKS[name](seed)
    pruner = prune.Pruner(model, FAMILIES[family], steps=20)
    torch.manual_seed(seed)
    for scores in pruner.scores():
        torch.nn.init.normal_(scores, mean=-4.2)
    anatomy = Anatomy(model, round_to)
    pruner.step = 20
    pruner.apply()
    left = anatomy.left(pruner)
    pruner.finish()
    small = prune.shrink(model, round_to)
    assert shape_of(small).heads == left.heads
    assert shape_of(small).widths == left.widths
    assert left.heads != anatomy.dense.heads
    assert left.parameters < anatomy.parameters


def test_parameters_are_those_of_the_small_network() -> None:
    model = NETWORKS["bert"](0)
    pruner = prune.Pruner(model, prune.structured(density=0.5), steps=20)
    torch.manual_seed(0)
    for scores in pruner.scores():
        torch.nn.init.normal_(scores)
    pruner.step = 20
    pruner.apply()
    left = Anatomy(model).left(pruner)
    pruner.finish()
    assert prune.shrink(model).num_parameters() == left.parameters
