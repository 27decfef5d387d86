"""Training by the passes in machine code is training by torch."""

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("llvmlite", reason="needs llvmlite: pip install 'prune[cpu]'")
from prune.kernels import masking, soft_masks
from prune.masks.algorithms import L0, Ampere, Magnitude, Threshold
from prune.masks.geometry import Block
from prune.masks.pruner import Pruner
from prune.masks.rules import Rule
from tests.cases import ANY, CASES, SOFT, STEPS, TOPK, Case, pair, policy


def trained(
    case: Case, dial: float | None, look: bool = False
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """What a pruner holds after its steps, and the weights in the model.

    look: at the masks between the steps, those of training and those that are evaluated.
    """
    model = case.model()
    pruner = Pruner(model, case.policy, STEPS)
    optimizer = torch.optim.SGD(pruner.parameter_groups(lr=0.1, scores_lr=1.0))
    pruner.attach(optimizer)
    if dial is not None:
        pruner.dial = dial
    for step in range(STEPS):
        if look:
            with pruner.eval_masks():
                pruner.masks()
            pruner.masks()
        case.loss(model, step).backward()
        optimizer.step()
        optimizer.zero_grad()
    return pruner.state_dict(), [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("dial", [None, 0.3], ids=["ramp", "dial"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_same_training(
    case: Case, dial: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_torch = trained(case, dial)
    for module in (masking, soft_masks):
        monkeypatch.setattr(module, "SMALL", 1)
    passes: list[str] = []
    for module in (masking, soft_masks):
        count(monkeypatch, module, "_code", passes)
    torch.testing.assert_close(trained(case, dial), by_torch, rtol=1e-4, atol=1e-5)
    assert passes or case.network == "cnn"  # whose sides are no multiples of 16


@pytest.mark.parametrize("case", CASES, ids=str)
def test_who_looks_at_masks_changes_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (masking, soft_masks):
        monkeypatch.setattr(module, "SMALL", 1)
    torch.testing.assert_close(trained(case, None, look=True), trained(case, None), rtol=0, atol=0)


WIDE = {  # beside 2 of 4
    "nothing": (),
    "blocks": (Rule(".*", TOPK, Block(4, 8)),),
    "wide blocks": (Rule(".*", SOFT, Block(32, 64)),),
    "single weights": (Rule(".*", Threshold(0.01), ANY),),
    "soft blocks": (Rule(".*", L0(), Block(16, 16)),),
    "neurons": pair(TOPK, "0", "2"),
    "neurons by their weights": pair(Magnitude(0.5), "0", "2"),
}


@pytest.mark.parametrize("others", WIDE.values(), ids=WIDE)
def test_two_of_four_beside_other_masks(
    others: tuple[Rule, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a network that is wide enough for it."""

    def trained() -> Pruner:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))
        pruner = Pruner(model, policy(*others, Rule(".*", Ampere(), ANY)), STEPS)
        optimizer = torch.optim.SGD(pruner.parameter_groups(lr=0.1, scores_lr=1.0))
        pruner.attach(optimizer)
        for _ in range(STEPS):
            model(torch.randn(8, 64)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        return pruner

    by_torch = trained()
    for module in (masking, soft_masks):
        monkeypatch.setattr(module, "SMALL", 1)
    at_once = trained()
    torch.testing.assert_close(at_once.state_dict(), by_torch.state_dict(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        at_once.model.state_dict(), by_torch.model.state_dict(), rtol=1e-4, atol=1e-5
    )
    soft = [tie for tie in at_once.ties if tie.algorithm.pairs]
    assert soft and all(tie.kept is None for tie in soft)  # made where it is used


def count(patch: pytest.MonkeyPatch, module: ModuleType, name: str, passes: list[str]) -> None:
    """Note each use of a function of the module."""
    code = getattr(module, name)

    def noted(*given: object) -> object:
        passes.append(name)
        return code(*given)

    patch.setattr(module, name, noted)
