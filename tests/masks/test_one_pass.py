"""Training by the passes in machine code is training by torch."""

from types import ModuleType

import pytest
import torch
from torch import Tensor

pytest.importorskip("llvmlite", reason="needs llvmlite: pip install 'prune[cpu]'")
from prune.kernels import masking, soft_masks
from prune.masks.pruner import Pruner
from tests.cases import CASES, STEPS, Case


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


def count(patch: pytest.MonkeyPatch, module: ModuleType, name: str, passes: list[str]) -> None:
    """Note each use of a function of the module."""
    code = getattr(module, name)

    def noted(*given: object) -> object:
        passes.append(name)
        return code(*given)

    patch.setattr(module, name, noted)
