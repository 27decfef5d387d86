"""Every way to prune, one row each: algorithm x geometry x sharing x tiny network.

`tests/test_laws.py` holds its laws over all rows, and fails where an algorithm, a geometry, a
sharing or a kind of module has no row.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from prune.masks.algorithms import (
    L0,
    Algorithm,
    Ampere,
    Magnitude,
    SigmoidThreshold,
    Threshold,
    TopK,
)
from prune.masks.geometry import Block, Columns, Geometry, Heads, Rows
from prune.masks.policy import Part, Policy, Rule
from prune.masks.schedule import Schedule
from tests import tiny

STEPS = 6
SCHEDULE = Schedule(warmup_steps=1, final=1)

Loss = Callable[[nn.Module, int], Tensor]  # of a model on the batch of a seed


@dataclass(frozen=True)
class Case:
    """`policy` on `network`; the names say which axes the row stands for."""

    network: str
    algorithm: str
    geometry: str
    sharing: str
    policy: Policy
    label: str = ""

    def __str__(self) -> str:
        parts = (self.network, self.algorithm, self.label or self.geometry, self.sharing)
        return "-".join(parts)

    def model(self, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return NETWORKS[self.network][0]().train()

    def loss(self, model: nn.Module, seed: int) -> Tensor:
        return NETWORKS[self.network][1](model, seed)


class Mlp(nn.Module):
    """Two 'attention' matrices (heads of 4), then a feed-forward pair of linears or Conv1D."""

    def __init__(self, linear: Callable[[int, int], nn.Module] = nn.Linear) -> None:
        super().__init__()
        self.value, self.output = linear(16, 16), linear(16, 16)
        self.inner, self.outer = linear(16, 24), linear(24, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.output(torch.tanh(self.value(x)))
        return x + self.outer(nn.functional.gelu(self.inner(x)))  # type: ignore[no-any-return]


class Cnn(nn.Sequential):
    """Two convolutions and a classifier."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(4, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, padding=1, bias=False),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 4),
        )


def regression(model: nn.Module, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 8, 16, generator=source)
    return (model(x) - y).square().mean()  # type: ignore[no-any-return]


def classification(model: nn.Module, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    images = torch.randn(8, 4, 6, 6, generator=source)
    return nn.functional.cross_entropy(model(images), images.mean((2, 3)).argmax(1))


def question_answering(model: nn.Module, seed: int) -> Tensor:
    return model(**tiny.labelled(rows=4, seed=seed)).loss  # type: ignore[no-any-return]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Loss]] = {
    "mlp": (Mlp, regression),
    "conv1d": (lambda: Mlp(lambda inputs, outputs: Conv1D(outputs, inputs)), regression),
    "cnn": (Cnn, classification),
    "bert": (lambda: tiny.bert(layers=1), question_answering),
}
ALGORITHMS: dict[str, Algorithm] = {
    "magnitude": Magnitude(0.4),
    "topk": TopK(0.4),
    "threshold": Threshold(0.01),
    "sigmoid_threshold": SigmoidThreshold(0.5),
    "l0": L0(),
    "ampere": Ampere(),
}
# label -> (name in a config, geometry)
GEOMETRIES: dict[str, tuple[str, Geometry]] = {
    "1x1": ("block", Block(1, 1)),
    "4x4": ("block", Block(4, 4)),
    "2x8": ("block", Block(2, 8)),
    "one row": ("block", Block(1, 16)),
    "one head": ("block", Block(4, 16)),
    "rows": ("rows", Rows()),
    "columns": ("columns", Columns()),
    "heads": ("heads", Heads()),
}


def policy(*rules: Rule, **parts: Part) -> Policy:
    return Policy(rules=list(rules), schedule=SCHEDULE, penalty=2.0, **parts)


def attention(how: Algorithm, cut: Geometry) -> tuple[Rule, Rule]:
    rule = Rule("value", how, cut, part="attention", head_size=4)
    return rule, replace(rule, pattern="output", flipped=True)


def pair(how: Algorithm, first: str = "inner", second: str = "outer") -> tuple[Rule, Rule]:
    rule = Rule(first, how, Rows(), share="neurons", part="ffn", weight=0.5)
    return rule, replace(rule, pattern=second, flipped=True)


def _crossed() -> list[Case]:
    """Every algorithm with every geometry, neurons in pairs."""
    return [
        Case("mlp", name, kind, "pair", policy(*attention(how, cut), *pair(how)), label)
        for name, how in ALGORITHMS.items()
        if how.geometry is None
        for label, (kind, cut) in GEOMETRIES.items()
    ]


def _shared() -> list[Case]:
    """Sharing in the attention of a transformer, beside shared neurons."""
    cuts: dict[str, tuple[Geometry, str]] = {
        "joint": (Block(8, 4), "block"),
        "value_output": (Rows(), "rows"),
        "none": (Heads(), "heads"),
    }
    return [
        Case(
            "bert", name, kind, sharing,
            policy(attention=Part(how, cut, sharing), ffn=Part(how, Rows(), "pair")),
        )
        for name, how in ALGORITHMS.items()
        if how.geometry is None
        for sharing, (cut, kind) in cuts.items()
    ]  # fmt: skip


AMPERE, TOPK, SOFT = Ampere(), TopK(0.4), SigmoidThreshold(0.5)
ANY = Block(1, 1)  # ampere has a geometry of its own
GLOBAL = Part(TOPK, Block(4, 4), pooled=True)
CASES = [
    *_crossed(),
    *_shared(),
    Case("mlp", "ampere", "fours", "none", policy(Rule(".*", AMPERE, ANY))),
    Case(
        "mlp", "ampere", "block", "none",
        policy(Rule(".*", AMPERE, ANY), Rule(".*", TOPK, Block(4, 8))), "x topk 4x8",
    ),
    Case(
        "mlp", "ampere", "block", "none",
        policy(Rule(".*", L0(), ANY), Rule(".*", AMPERE, ANY)), "x l0 1x1",
    ),
    Case(
        "bert", "ampere", "block", "pair",
        policy(attention=Part(AMPERE, ANY), ffn=Part(TOPK, Rows(), "pair", ampere=True)),
        "x neurons",
    ),
    Case("bert", "topk", "block", "none", policy(attention=GLOBAL, ffn=GLOBAL), "global"),
    Case("conv1d", "topk", "block", "pair", policy(*attention(TOPK, Block(4, 2)), *pair(TOPK))),
    Case("conv1d", "ampere", "fours", "none", policy(Rule(".*", AMPERE, ANY))),
    Case("cnn", "topk", "block", "none", policy(Rule("[02]", TOPK, Block(1, 9)))),
    Case("cnn", "sigmoid_threshold", "columns", "none", policy(Rule("[02]", SOFT, Columns()))),
    Case("cnn", "l0", "rows", "pair", policy(*pair(L0(), "0", "2"), Rule("5", L0(), ANY))),
    Case("cnn", "magnitude", "rows", "pair", policy(*pair(Magnitude(0.5), "0", "2"))),
    Case("cnn", "ampere", "fours", "none", policy(Rule("[025]", AMPERE, ANY))),
]  # fmt: skip
