"""What holds for every way to prune, over the table of `tests/cases.py`."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.func import functional_call
from transformers.pytorch_utils import Conv1D

from prune import choices
from prune.masks import algorithms
from prune.masks.groups import Tie
from prune.masks.layout import matrix
from prune.masks.noise import Noise
from prune.masks.pruner import Pruner
from tests.cases import ALGORITHMS, CASES, STEPS, Case

every = pytest.mark.parametrize("case", CASES, ids=str)


class Run:
    """A model, its pruner and its optimizer, trained step by step."""

    def __init__(self, case: Case, seed: int = 0) -> None:
        self.case = case
        self.pruner = Pruner(case.model(seed), case.policy, STEPS)
        self.model = self.pruner.model
        groups = self.pruner.parameter_groups(lr=1e-2, scores_lr=5e-2)
        self.optimizer = torch.optim.AdamW(groups)
        self.pruner.attach(self.optimizer)

    def backward(self, seed: int) -> None:
        self.optimizer.zero_grad()
        self.case.loss(self.model, seed).backward()

    def train(self, first: int = 0, last: int = STEPS) -> "Run":
        for number in range(first, last):
            self.backward(number)
            self.optimizer.step()
        return self

    def tensors(self) -> dict[str, Tensor]:
        return {**self.model.state_dict(), **self.pruner.state_dict()}


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def masks_of(pruner: Pruner) -> Iterator[tuple[nn.Module, Tensor]]:
    for name, mask in pruner.masks().items():
        yield pruner.model.get_submodule(name), mask


@every
def test_masks_have_the_shape_of_their_matrix_and_are_what_stands_in_the_model(case: Case) -> None:
    pruner = Run(case).train(0, 4).pruner
    for slot in pruner.slots:
        weight, mask = matrix(slot.module, slot.weight.data), pruner.masks()[slot.name]
        assert mask.shape == weight.shape == slot.full_matrix().shape
        assert torch.equal(weight, mask * slot.full_matrix()) or len(slot.cuts) > 1
        torch.testing.assert_close(weight, mask * slot.full_matrix())
    for tie in pruner.learned():
        assert tie.scores is not None
        assert tie.scores.shape == tie.algorithm.scores_shape(tuple(tie.mask.shape))


@every
def test_values_are_0_or_1_and_only_soft_masks_lie_between(case: Case) -> None:
    pruner = Run(case).train(0, 4).pruner
    soft = any(tie.algorithm.soft for tie in pruner.ties)
    for _, mask in masks_of(pruner):
        assert mask.min() >= 0 and mask.max() <= 1
        assert soft or torch.all((mask == 0) | (mask == 1))
    pruner.finish()
    random = any(tie.algorithm.noisy for tie in pruner.ties)
    for _, mask in masks_of(pruner):
        assert random or torch.all((mask == 0) | (mask == 1))


@every
def test_density_at_the_end_is_as_asked(case: Case) -> None:
    pruner = Run(case).train().pruner
    pruner.finish()
    asked = {id(t): t for t in pruner.ties if t.algorithm.ranks}
    pooled = any(site.pool for site in pruner.sites)
    for tie in asked.values():
        count, total = int(tie.mask.sum()), tie.mask.numel()
        assert pooled or count == math.floor(tie.algorithm.end * total + 0.5)
    if pooled:
        live = sum(int(t.mask.sum()) for t in asked.values())
        total = sum(t.mask.numel() for t in asked.values())
        assert live / total == pytest.approx(
            next(iter(asked.values())).algorithm.end, abs=1 / total
        )
    for tie in pruner.ties:
        if isinstance(tie.algorithm, algorithms.Ampere):
            assert torch.all(tie.mask.unflatten(1, (-1, 4)).sum(-1) == 2)
    live = sum(int(torch.count_nonzero(mask)) for mask in pruner.masks().values())
    assert pruner.density() == live / sum(slot.full.numel() for slot in pruner.slots)


@every
def test_what_is_dead_stays_dead_as_the_threshold_moves_on(case: Case) -> None:
    pruner = Run(case).train(0, 3).pruner
    with torch.no_grad():
        for scores in pruner.scores():
            scores.normal_(std=0.1)
    before: dict[str, Tensor] = {}
    for step in range(STEPS + 1):
        pruner.step = step
        pruner.apply(evaluation=True)
        masks = pruner.masks()
        for name, mask in masks.items():
            assert torch.all(mask <= before.get(name, mask)), (name, step)
        before = masks


@every
def test_gradients_are_those_of_autograd_through_the_mask(case: Case) -> None:
    run = Run(replace(case, policy=replace(case.policy, penalty=0.0))).train(0, 3)
    expected = autograd(run, 7)
    found: dict[str, Tensor] = {}

    def keep(*_: Any) -> None:
        found.update({slot.name: slot.weight.grad.clone() for slot in run.pruner.slots})
        found.update({f"S of {t.name}": t.scores.grad.clone() for t in run.pruner.learned()})

    run.optimizer.register_step_pre_hook(keep)
    run.train(7, 8)
    for name, gradient in expected.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-8)


def autograd(run: Run, seed: int) -> dict[str, Tensor]:
    """dL/dW and dL/dS of each score tensor, by autograd through M(S) * W."""
    tensors = {name: p.detach() for name, p in run.model.named_parameters()}
    weights, scores = {}, {}
    for tie in run.pruner.learned():
        scores[tie.name] = tie.scores.detach().clone().requires_grad_()
    for slot in run.pruner.slots:
        weights[slot.name] = slot.full.detach().clone().requires_grad_()
        masked = matrix(slot.module, weights[slot.name])
        for cut in slot.cuts:
            grid, mask = cut.site.grid, cut.tie.mask
            if cut.tie.name in scores:
                mask = differentiable(cut.tie, scores[cut.tie.name])
            spread = grid.spread(cut.groups(mask)) * grid.cells(torch.ones_like(masked))
            masked = masked * spread.reshape(masked.shape)
        stored = masked.T if isinstance(slot.module, Conv1D) else masked.view(slot.full.shape)
        tensors[f"{slot.name}.weight"] = stored
    loss = run.case.loss(Called(run.model, tensors), seed)
    names = [*weights, *(f"S of {name}" for name in scores)]
    gradients = torch.autograd.grad(loss, [*weights.values(), *scores.values()])
    return dict(zip(names, gradients, strict=True))


def differentiable(tie: Tie, scores: Tensor) -> Tensor:
    """M(S), straight-through where it is 0 or 1."""
    if tie.algorithm.soft:
        noise = Noise(*tie.key).like(scores.detach()) if tie.algorithm.noisy else None
        return tie.algorithm.training_mask(scores, tie.threshold, noise)
    return tie.mask + scores - scores.detach()


class Called(nn.Module):
    """A model with other tensors in the place of its own."""

    def __init__(self, model: nn.Module, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.model, self.tensors = [model], tensors

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return functional_call(self.model[0], self.tensors, args, kwargs)


@every
def test_shared_scores_add_up(case: Case) -> None:
    pruner = Run(case).train(0, 2).pruner
    for tie in pruner.learned():
        if tie.algorithm.soft:
            continue
        pieces = [
            torch.randn(cut.groups(tie.mask).shape, dtype=cut.slot.weight.dtype) for cut in tie.cuts
        ]
        for cut, piece in zip(tie.cuts, pieces, strict=True):
            cut.pulled = piece
        tie.pressure = 0.0
        tie.push_gradient()
        total = sum(cut.as_scores(piece) for cut, piece in zip(tie.cuts, pieces, strict=True))
        torch.testing.assert_close(tie.scores.grad, total)


@pytest.mark.parametrize("name", ["threshold", "sigmoid_threshold"])
@pytest.mark.parametrize("least", [0.0, 0.005, 0.1, 1.0])
def test_a_matrix_keeps_its_minimum_and_ties_with_it(name: str, least: float) -> None:
    algorithm = replace(ALGORITHMS[name], min_density=least)
    distinct = -100 - torch.randperm(1000).float().view(20, 50)
    assert algorithm.mask(distinct, 0.5).sum() == math.ceil(least * 1000)
    tied = torch.full((20, 50), -100.0)
    assert algorithm.mask(tied, 0.5).sum() == (1000 if least else 0)
    tied[0, :10] = -99
    kept = algorithm.mask(tied, 0.5).sum()
    assert kept == (0 if not least else 10 if least * 1000 <= 10 else 1000)


@every
def test_apply_and_restore_are_inverse_to_the_last_bit(case: Case) -> None:
    before = {name: t.clone() for name, t in case.model().state_dict().items()}
    pruner = Run(case).pruner
    with torch.no_grad():
        for scores in pruner.scores():
            scores.normal_()
    pruner.finish()
    assert not all(torch.equal(t, before[name]) for name, t in pruner.model.state_dict().items())
    pruner.restore()
    equal(dict(pruner.model.state_dict()), before)


@every
def test_evaluation_masks_come_and_go(case: Case) -> None:
    run = Run(case).train(0, 3)
    before = {name: tensor.clone() for name, tensor in run.tensors().items()}
    with run.pruner.eval_masks() as model:
        seen = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    equal(run.tensors(), before)
    run.pruner.apply(evaluation=True)
    equal(dict(run.model.state_dict()), seen)


@every
def test_a_saved_state_is_the_state(case: Case) -> None:
    run = Run(case).train(0, 3)
    state = load(save({k: v.contiguous() for k, v in run.pruner.state_dict().items()}))
    other = Run(case, seed=1)
    unmasked = {name: t for name, t in run.model.state_dict().items()}
    other.model.load_state_dict(unmasked)
    other.pruner.load_state_dict(state)
    equal(other.tensors(), run.tensors())


@every
def test_resumed_at_any_step_it_is_the_straight_run_to_the_last_bit(case: Case) -> None:
    straight, running = Run(case).train(), Run(case)
    for step in range(STEPS):
        saved = copy.deepcopy((running.tensors(), running.optimizer.state_dict()))
        resumed = Run(case, seed=step + 1)
        tensors, optimizer = saved
        resumed.model.load_state_dict({k: tensors[k] for k in resumed.model.state_dict()})
        resumed.pruner.load_state_dict({k: tensors[k] for k in resumed.pruner.state_dict()})
        resumed.optimizer.load_state_dict(optimizer)
        resumed.train(step)
        equal(resumed.tensors(), straight.tensors())
        running.train(step, step + 1)


@every
def test_the_same_seed_is_the_same_run_and_noise_follows_the_seed(case: Case) -> None:
    first = Run(case).train()
    equal(Run(case).train().tensors(), first.tensors())
    other = Run(replace(case, policy=replace(case.policy, seed=1))).train()
    noisy = any(tie.algorithm.noisy for tie in first.pruner.ties)
    same = all(torch.equal(a, b) for a, b in zip(
        first.model.parameters(), other.model.parameters(), strict=True))  # fmt: skip
    assert same is not noisy


@every
def test_bf16_autocast_trains_in_full_precision_weights(case: Case) -> None:
    run = Run(case)
    for number in range(STEPS):
        run.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = case.loss(run.model, number)
        loss.backward()
        run.optimizer.step()
        assert torch.isfinite(loss)
    for tensor in run.tensors().values():
        assert tensor.dtype != torch.bfloat16 and torch.all(torch.isfinite(tensor))


def test_the_table_is_complete() -> None:
    assert set(algorithms.ALGORITHMS) == set(choices.ALGORITHMS) == set(ALGORITHMS)
    assert {case.algorithm for case in CASES} == set(choices.ALGORITHMS)
    assert {case.geometry for case in CASES} >= set(choices.GEOMETRIES)
    assert {case.sharing for case in CASES} == set(choices.SHARINGS)
    for name, algorithm in ALGORITHMS.items():
        if algorithm.geometry is None:
            seen = {case.geometry for case in CASES if case.algorithm == name}
            assert seen >= set(choices.GEOMETRIES), name
