"""What a pruner keeps from one step to the next, in bytes, beside the one copy of the weights."""

import pytest
import torch
from torch import Tensor, nn

import prune
from prune.masks.algorithms import L0, Algorithm, Ampere, SigmoidThreshold, TopK
from prune.masks.bits import Bits
from prune.masks.geometry import Block, Geometry
from prune.masks.groups import Tie
from tests.cases import policy

WEIGHTS = 64 * 256


def bytes_kept(tie: Tie) -> int:
    kept = tie.kept
    if isinstance(kept, Bits):
        return int(kept.codes.nbytes)
    return 0 if kept is None else kept.nbytes


@pytest.mark.parametrize(
    ("how", "cut", "most"),
    [
        (TopK(0.4), Block(1, 1), WEIGHTS // 8),
        (SigmoidThreshold(0.5), Block(4, 4), WEIGHTS // 16),
        (L0(), Block(4, 4), 0),
        (L0(), Block(32, 32), 4 * WEIGHTS // 1024),
    ],
    ids=str,
)
def test_masks_of_small_groups_take_little(how: Algorithm, cut: Geometry, most: int) -> None:
    assert masks_of(how, cut) <= most


def masks_of(how: Algorithm, cut: Geometry) -> int:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 64))
    pruner = prune.Pruner(model, policy(prune.Rule(".*", how, cut)), steps=9)
    optimizer = torch.optim.SGD(pruner.parameter_groups(lr=0.1, scores_lr=1.0))
    pruner.attach(optimizer)
    for _ in range(4):
        model(torch.randn(8, 256)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    seen: dict[str, Tensor] = pruner.masks()
    with pruner.eval_masks():
        assert torch.equal(pruner.masks()["0"], pruner.slots[0].full_mask(evaluated=True))
    assert torch.equal(pruner.masks()["0"], seen["0"])
    assert all(slot.weight.grad is None for slot in pruner.slots)
    return sum(map(bytes_kept, pruner.ties))


def test_two_of_four_at_once_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llvmlite", reason="needs llvmlite: pip install 'prune[cpu]'")
    from prune.kernels import soft_masks

    monkeypatch.setattr(soft_masks, "SMALL", 1)
    assert masks_of(Ampere(), Block(1, 1)) == 0
