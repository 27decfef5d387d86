"""Masks applied between optimizer steps are masked layers, exactly.

The reference rebuilds masked linear layers in every forward, with straight-through autograd, as
one would write it first. Weights and scores must be equal after 20 steps, in float64.
"""

import copy
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from prune.masks import groups
from prune.masks.algorithms import L0, Ampere, Magnitude, SigmoidThreshold, Threshold, TopK
from prune.masks.geometry import Block, Geometry, Heads, Rows
from prune.masks.noise import Noise
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
    """y = x (M(S) * W)^T + b where a row is alive; the masks are rebuilt in every forward."""

    def __init__(self, linear: nn.Linear, sites: list[Site], reference: "Reference") -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().clone())
        self.bias = nn.Parameter(linear.bias.detach().clone())
        self.sites, self.owner = sites, [reference]

    def mask(self) -> Tensor:
        product = torch.ones_like(self.weight)
        for site in self.sites:
            groups = self.owner[0].mask(site)
            groups = groups.T if site.flipped else groups
            rows = groups.repeat_interleave(site.grid.rows, 0)
            product = product * rows.repeat_interleave(site.grid.columns, 1)
        return product

    def forward(self, x: Tensor) -> Tensor:
        mask = self.mask()
        alive = (mask != 0).any(1).to(x.dtype).detach()
        return nn.functional.linear(x, self.weight * mask, self.bias * alive)


class Reference(nn.Module):
    """The same network with masked layers in place of the sites; l0 sees the pruner's noise."""

    def __init__(self, model: nn.Module, pruner: Pruner) -> None:
        super().__init__()
        self.net = copy.deepcopy(model)
        self.sites, self.ramp, self.step = pruner.sites, pruner.ramp, 0
        self.ties = {tie.name: tie for tie in pruner.ties}
        self.scores = nn.ParameterDict()
        for name in dict.fromkeys(site.module for site in pruner.sites):
            linear = self.net.get_submodule(name)
            ours = [site for site in pruner.sites if site.module == name]
            parent, _, leaf = name.rpartition(".")
            setattr(self.net.get_submodule(parent), leaf, MaskedLinear(linear, ours, self))
            for site in ours:
                if site.algorithm.learned:
                    start = torch.full(
                        self.scores_shape(site), site.algorithm.initial, dtype=torch.float64
                    )
                    self.scores.setdefault(key_of(site.scores), nn.Parameter(start))

    def scores_shape(self, site: Site) -> tuple[int, ...]:
        out, inner = self.net.get_submodule(site.module).weight.shape
        if isinstance(site.algorithm, Ampere):
            return 6, out, inner // 4
        shape = (out // site.grid.rows, inner // site.grid.columns)
        return shape[::-1] if site.flipped else shape

    def threshold(self, site: Site) -> float:
        return self.ramp.value(self.step, site.algorithm.start, site.algorithm.end)

    def mask(self, site: Site) -> Tensor:
        tau = self.threshold(site)
        if not site.algorithm.learned:
            return self.rank(self.magnitude(site), tau)
        scores = self.scores[key_of(site.scores)]
        if isinstance(site.algorithm, L0):
            noise = Noise(*self.ties[site.scores].key).like(scores.detach())
            s = torch.sigmoid((noise + scores) / (2 / 3))
            return torch.clip(s * 1.2 - 0.1, 0, 1)
        if isinstance(site.algorithm, Ampere):
            patterns = [
                [i in pair for i in range(4)] for pair in itertools.combinations(range(4), 2)
            ]
            shares = torch.softmax(tau * scores, 0).movedim(0, -1)
            return (shares @ torch.tensor(patterns).double()).flatten(1)
        hard = self.rank(scores.detach(), tau) if site.algorithm.ranks else self.cut(site, scores)
        return StraightThrough.apply(scores, hard.detach())  # type: ignore[no-any-return]

    def cut(self, site: Site, scores: Tensor) -> Tensor:
        soft = isinstance(site.algorithm, SigmoidThreshold)
        mask = (torch.sigmoid(scores) if soft else scores) > self.threshold(site)
        least = -(-site.algorithm.min_density * mask.numel() // 1)  # type: ignore[attr-defined]
        if mask.sum() < least:
            mask = scores >= scores.flatten().sort(descending=True).values[int(least) - 1]
        return mask.to(scores.dtype)

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
            if site.algorithm.learned and not isinstance(site.algorithm, Ampere):
                shift = 2 / 3 * math.log(11) if isinstance(site.algorithm, L0) else 0
                mean = torch.sigmoid(self.scores[key_of(site.scores)] + shift).mean()
                parts.setdefault(site.part, {})[site.scores] = mean
        total = torch.zeros((), dtype=torch.float64)
        for part, means in parts.items():
            total = total + weights[part] / len(parts) * torch.stack(list(means.values())).mean()
        return policy.penalty * self.ramp.progress(self.step) * total


def key_of(name: str) -> str:
    return name.replace(".", "_")


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
    "l0": L0(),
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


def policy_of(*rules: Rule) -> Policy:
    return Policy(
        rules=list(rules), schedule=Schedule(warmup_steps=2, initial=1, final=2), penalty=3.0
    )


def rules(algorithm: str, geometry: str) -> Policy:
    how, shape = ALGORITHMS[algorithm], GEOMETRIES[geometry]
    return policy_of(
        Rule("value", how, shape, part="attention", head_size=4),
        Rule("output", how, shape, part="attention", head_size=4, flipped=True),
        Rule("inner", how, Rows(), share="ffn", part="ffn", weight=0.5),
        Rule("outer", how, Rows(), share="ffn", part="ffn", weight=0.5, flipped=True),
    )


AMPERE = Rule(".*", Ampere(), Block(1, 1))
PRODUCTS = {
    "ampere": policy_of(AMPERE),
    "ampere x topk": policy_of(AMPERE, Rule(".*", TopK(0.4), Block(2, 2), flipped=True)),
    "ampere x l0": policy_of(AMPERE, Rule(".*", L0(), Block(1, 1))),
    "ampere x magnitude": policy_of(AMPERE, Rule(".*r", Magnitude(0.4), Block(4, 2))),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_masks_between_steps_are_masked_layers(
    algorithm: str, geometry: str, optimizer: str
) -> None:
    densities = train_both(rules(algorithm, geometry), OPTIMIZERS[optimizer])
    assert len(densities) > 2, "the masks never moved: this test would prove nothing"


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_of_masks_is_a_product(name: str) -> None:
    train_both(PRODUCTS[name], OPTIMIZERS["adamw"])


@pytest.mark.parametrize("name", ["ampere", "ampere x l0", "sigmoid_threshold"])
def test_a_mask_made_in_pieces_is_the_mask(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "PIECE", 40)  # two rows, or three that do not divide the matrix
    train_both(PRODUCTS.get(name) or rules(name, "unstructured"), OPTIMIZERS["adamw"])


def train_both(policy: Policy, kind: Callable[..., torch.optim.Optimizer]) -> set[float]:
    """Train the pruner's model and the reference; the densities that were seen."""
    torch.manual_seed(0)
    model = Net().double()
    start = copy.deepcopy(model)
    pruner = Pruner(model, policy, STEPS)
    reference = Reference(start, pruner)
    ours = kind(pruner.parameter_groups(lr=1e-2, scores_lr=5e-2))
    pruner.attach(ours)
    theirs = kind(_groups(reference))
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
        live = sum(int((mask != 0).sum()) for mask in pruner.masks().values())
        densities.add(round(live / sum(s.full.numel() for s in pruner.slots), 3))
    _assert_equal(pruner, reference)
    return densities


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
        expected = reference.scores[key_of(tie.name)]
        torch.testing.assert_close(tie.scores, expected, rtol=0, atol=1e-6, check_stride=False)
    for slot in pruner.slots:
        layer = reference.net.get_submodule(slot.name)
        mask = layer.mask().detach()
        masked = layer.weight.detach() * mask
        alive = mask.any(1)
        torch.testing.assert_close(slot.weight.data, masked, rtol=0, atol=1e-6)
        torch.testing.assert_close(slot.full, layer.weight.detach(), rtol=0, atol=1e-6)
        torch.testing.assert_close(slot.bias.data, layer.bias.detach() * alive, rtol=0, atol=1e-6)
