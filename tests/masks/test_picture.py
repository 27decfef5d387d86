"""The picture of the masks that a run keeps: what lives is seen, in a small file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from prune.masks.algorithms import TopK
from prune.masks.geometry import Block
from prune.masks.layout import matrix
from prune.masks.picture import SQUARES, picture
from prune.masks.policy import Policy, Rule
from prune.masks.pruner import Pruner
from prune.store import masks
from tests.cases import CASES, STEPS, Case


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_square_is_light_only_where_nothing_lives(case: Case) -> None:
    model = case.model()
    pruner = Pruner(model, case.policy, STEPS)
    pruner.finish()
    found = picture(pruner)
    assert set(found) == {slot.name for slot in pruner.slots}
    for name, shares in found.items():
        module = model.get_submodule(name)
        assert isinstance(module.weight, torch.Tensor) and shares.dtype == np.uint8
        live = matrix(module, module.weight.detach()) != 0
        assert np.array_equal(shares > 0, live.numpy())  # so small that a square is one weight


def test_large_matrices_have_larger_squares() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 300), nn.Linear(300, 256))
    pruner = Pruner(model, Policy(rules=[Rule(r"\d", TopK(0.5), Block(4, 4))]), STEPS)
    pruner.finish()
    found = picture(pruner)
    assert found["0"].shape == (75, SQUARES) and set(np.unique(found["0"])) == {0, 255}
    assert found["1"].shape == (SQUARES, 75)
    assert (found["0"] == 255).mean() == pytest.approx(0.5, abs=0.01)


def test_what_is_kept_is_read_and_what_is_broken_is_nothing(tmp_path: Path) -> None:
    one = {"bert.layer.0.query": np.arange(12, dtype=np.uint8).reshape(3, 4)}
    masks.write(tmp_path, one)
    found = masks.read(tmp_path)
    assert set(found) == set(one) and np.array_equal(*found.values(), *one.values())
    assert [path.name for path in tmp_path.iterdir()] == [masks.FILE]
    assert masks.read(tmp_path / "nowhere") == {}
    file = tmp_path / masks.FILE
    for content in (b"", b"PK\x03\x04", file.read_bytes()[:-40], b"x" * 100):
        file.write_bytes(content)
        assert masks.read(tmp_path) == {}
    np.savez(file, odd=np.zeros(3), evil=np.array([{}], dtype=object))
    assert masks.read(tmp_path) == {}
