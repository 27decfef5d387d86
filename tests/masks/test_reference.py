"""Masks applied between optimizer steps are masked layers, exactly.

The reference rebuilds masked linear layers in every forward, with straight-through autograd, as
one would write it first. Weights and scores must be equal after 20 steps, in float64.
"""

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prune.masks.algorithms import Magnitude, SigmoidThreshold, Threshold, TopK
from prune.masks.geometry import Block, Geometry, Heads, Rows
from prune.masks.policy import Policy, Rule, Site
from prune.masks.pruner import Pruner
from prune.masks.schedule import Schedule

STEPS, MICRO_BATCHES = 20, 2


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, scores: Tensor, mask: Tensor) -> Tensor:
        return mask

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient, None


class MaskedLinear(nn.Module):
    """y = x (M(S) * W)^T + b where a row is alive; the mask is rebuilt in every forward."""

    def __init__(self, linear: nn.Linear, site: Site, reference: "Reference") -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().clone())
        self.bias = nn.Parameter(linear.bias.detach().clone())
        self.site, self.owner = site, [reference]

    def expand(self, groups: Tensor) -> Tensor:
        groups = groups.T if self.site.flipped else groups
        return groups.repeat_interleave(self.site.grid.rows, 0).repeat_interleave(
            self.site.grid.columns, 1
        )

    def forward(self, x: Tensor) -> Tensor:
        mask = self.expand(self.owner[0].mask(self.site))
        alive = (mask != 0).any(1).to(x.dtype).detach()
        return nn.functional.linear(x, self.weight * mask, self.bias * alive)


class Reference(nn.Module):
    """The same network with masked layers in place of the sites."""

    def __init__(self, model: nn.Module, sites: list[Site], pruner: Pruner) -> None:
        super().__init__()
        self.net = copy.deepcopy(model)
        self.sites, self.ramp, self.step = sites, pruner.ramp, 0
        self.scores = nn.ParameterDict()
        for site in sites:
            linear = self.net.get_submodule(site.module)
            parent, _, leaf = site.module.rpartition(".")
            setattr(self.net.get_submodule(parent), leaf, MaskedLinear(linear, site, self))
            out, inner = linear.weight.shape
            shape = (out // site.grid.rows, inner // site.grid.columns)
            if site.algorithm.learned:
                key = site.scores.replace(".", "_")
                if key not in self.scores:
                    shape = shape[::-1] if site.flipped else shape
                    self.scores[key] = nn.Parameter(torch.zeros(shape, dtype=torch.float64))

    def threshold(self, site: Site) -> float:
        return self.ramp.value(self.step, site.algorithm.start, site.algorithm.end)

    def mask(self, site: Site) -> Tensor:
        tau = self.threshold(site)
        if not site.algorithm.learned:
            return self.rank(self.magnitude(site), tau)
        scores = self.scores[site.scores.replace(".", "_")]
        if isinstance(site.algorithm, TopK):
            mask = self.rank(scores.detach(), tau)
        else:
            value = (
                torch.sigmoid(scores) if isinstance(site.algorithm, SigmoidThreshold) else scores
            )
            mask = (value > tau).to(scores.dtype)
            least = -(-site.algorithm.min_density * mask.numel() // 1)  # type: ignore[attr-defined]
            if mask.sum() < least:
                mask = (scores >= scores.flatten().sort(descending=True).values[int(least) - 1]).to(
                    scores.dtype
                )
        return StraightThrough.apply(scores, mask.detach())  # type: ignore[no-any-return]

    def magnitude(self, site: Site) -> Tensor:
        total, size = torch.zeros(()), 0
        for other in self.sites:
            if other.scores == site.scores:
                weight = self.net.get_submodule(other.module).weight.detach().abs()
                r, c = other.grid.rows, other.grid.columns
                groups = weight.unflatten(0, (-1, r)).unflatten(2, (-1, c)).sum((1, 3))
                total, size = total + (groups.T if other.flipped else groups), size + r * c
        return total / size

    def rank(self, values: Tensor, tau: float) -> Tensor:
        count = int(tau * values.numel() + 0.5)
        order = values.flatten().argsort(descending=True, stable=True)[:count]
        mask = torch.zeros(values.numel(), dtype=values.dtype)
        mask[order] = 1
        return mask.view(values.shape)

    def penalty(self, policy: Policy) -> Tensor:
        parts: dict[str, dict[str, Tensor]] = {}
        weights = {site.part: site.weight for site in self.sites}
        for site in self.sites:
            if site.algorithm.learned:
                key = site.scores.replace(".", "_")
                parts.setdefault(site.part, {})[key] = torch.sigmoid(self.scores[key]).mean()
        total = torch.zeros((), dtype=torch.float64)
        for part, means in parts.items():
            total = total + weights[part] / len(parts) * torch.stack(list(means.values())).mean()
        return policy.penalty * self.ramp.progress(self.step) * total


class Net(nn.Module):
    """Two 'attention' matrices (heads of 4) and a feed-forward pair."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.output = nn.Linear(16, 16), nn.Linear(16, 16)
        self.inner, self.outer = nn.Linear(16, 24), nn.Linear(24, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.output(torch.tanh(self.value(x)))
        return x + self.outer(torch.nn.functional.gelu(self.inner(x)))  # type: ignore[no-any-return]


ALGORITHMS = {
    "magnitude": Magnitude(0.4),
    "topk": TopK(0.4),
    "threshold": Threshold(0.02),
    "sigmoid_threshold": SigmoidThreshold(0.495),
}
GEOMETRIES: dict[str, Geometry] = {
    "block": Block(4, 4),
    "rectangle": Block(2, 8),
    "unstructured": Block(1, 1),
    "heads": Heads(),
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9),
}


def rules(algorithm: str, geometry: str) -> Policy:
    how, shape = ALGORITHMS[algorithm], GEOMETRIES[geometry]
    return Policy(
        rules=[
            Rule("value", how, shape, part="attention", head_size=4),
            Rule("output", how, shape, part="attention", head_size=4, flipped=True),
            Rule("inner", how, Rows(), share="ffn", part="ffn", weight=0.5),
            Rule("outer", how, Rows(), share="ffn", part="ffn", weight=0.5, flipped=True),
        ],
        schedule=Schedule(warmup_steps=2, initial=1, final=2),
        penalty=3.0,
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_masks_between_steps_are_masked_layers(
    algorithm: str, geometry: str, optimizer: str
) -> None:
    torch.manual_seed(0)
    model = Net().double()
    policy = rules(algorithm, geometry)
    start = copy.deepcopy(model)
    pruner = Pruner(model, policy, STEPS)
    reference = Reference(start, pruner.sites, pruner)
    ours = OPTIMIZERS[optimizer](pruner.parameter_groups(lr=1e-2, scores_lr=5e-2))
    pruner.attach(ours)
    theirs = OPTIMIZERS[optimizer](_groups(reference))
    densities = set()
    for _ in range(STEPS):
        ours.zero_grad()
        theirs.zero_grad()
        for _ in range(MICRO_BATCHES):
            x, y = torch.randn(8, 16, dtype=torch.float64), torch.randn(8, 16, dtype=torch.float64)
            (model(x) - y).square().mean().backward()
            (reference.net(x) - y).square().mean().backward()
        if isinstance(penalty := reference.penalty(policy), Tensor) and penalty.requires_grad:
            penalty.backward()
        assert penalty.item() == pytest.approx(pruner.penalty(), abs=1e-12)
        ours.step()
        theirs.step()
        reference.step += 1
        densities.add(round(pruner.density(), 3))
    assert len(densities) > 2, "the masks never moved: this test would prove nothing"
    _assert_equal(pruner, reference)


def _groups(reference: Reference) -> list[dict[str, object]]:
    named = list(reference.net.named_parameters())
    return [
        {"params": [p for _, p in named if p.ndim > 1], "lr": 1e-2, "weight_decay": 0.0},
        {"params": [p for _, p in named if p.ndim <= 1], "lr": 1e-2, "weight_decay": 0.0},
        *(
            [{"params": list(reference.scores.values()), "lr": 5e-2, "weight_decay": 0.0}]
            if reference.scores
            else []
        ),
    ]


def _assert_equal(pruner: Pruner, reference: Reference) -> None:
    for tie in pruner.learned():
        expected = reference.scores[tie.name.replace(".", "_")]
        torch.testing.assert_close(tie.scores, expected, rtol=0, atol=1e-6, check_stride=False)
    for slot in pruner.slots:
        layer = reference.net.get_submodule(slot.site.module)
        mask = layer.expand(reference.mask(slot.site)).detach()
        masked = layer.weight.detach() * mask
        alive = mask.any(1)
        torch.testing.assert_close(slot.weight.data, masked, rtol=0, atol=1e-6)
        torch.testing.assert_close(slot.full, layer.weight.detach(), rtol=0, atol=1e-6)
        torch.testing.assert_close(slot.bias.data, layer.bias.detach() * alive, rtol=0, atol=1e-6)


def test_restore_is_the_inverse_of_apply() -> None:
    torch.manual_seed(0)
    model = Net()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    policy = dataclasses.replace(rules("magnitude", "block"), schedule=Schedule(0, final=0))
    pruner = Pruner(model, policy, steps=10)
    pruner.finish()
    assert pruner.density() < 0.5
    assert not torch.equal(model.inner.weight, before["inner.weight"])
    pruner.restore()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name
