"""Filling revives the zeros of a shrunk network and nothing else."""

import torch

from prune.artifact.fill import fill
from prune.artifact.shrink import shrink
from prune.masks import structure
from prune.speed.measure import count
from tests import tiny


def test_only_zeros_are_revived_and_always_the_same() -> None:
    model = tiny.bert()
    with torch.no_grad():
        for name in structure.read(model).matrices():
            weight = model.get_submodule(name).weight
            weight[torch.rand(weight.shape) < 0.5] = 0
    small = shrink(model)
    before = {name: p.clone() for name, p in small.named_parameters()}
    zeros = count(small).prunable - count(small).nonzero
    assert fill(small, seed=1) == zeros > 0
    assert count(small).nonzero == count(small).prunable
    again = shrink(model)
    fill(again, seed=1)
    for name, parameter in small.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name))
        old = before[name]
        assert torch.equal(parameter[old != 0], old[old != 0])
        if (old == 0).any():
            revived = parameter[old == 0]
            assert (revived - old.mean()).abs().max() < 0.06 * old.std()  # N(0, 1) * 0.01 * std


def test_a_network_without_zeros_stays_as_it_is() -> None:
    model = tiny.bert()
    assert fill(model) == 0
