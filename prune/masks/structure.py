"""Which module of a network plays which role: per architecture, as data.

An attention has query, key, value and output matrices and a head size; an FFN has an inner matrix
(hidden -> width), an activation, and an outer one (width -> hidden).
"""

import re
from dataclasses import dataclass

from torch import nn

from prune.errors import PolicyError


@dataclass(frozen=True)
class Attention:
    """One attention layer: module names in the model, and the size of one head."""

    name: str
    query: str
    key: str
    value: str
    output: str
    core: str  # the module that computes the attention from query, key and value
    head_size: int


@dataclass(frozen=True)
class Ffn:
    """One feed-forward layer: module names in the model."""

    name: str
    inner: str
    outer: str
    activation: str


@dataclass(frozen=True)
class Table:
    """Where an architecture keeps its parts: patterns of the parents, names below them."""

    attention: str
    query: str
    key: str
    value: str
    output: str
    core: str
    ffn: str
    inner: str
    outer: str
    activation: str
    hidden: str = "hidden_size"  # fields of the model's config
    heads: str = "num_attention_heads"


BERT = Table(
    attention=r"(?:.*\.)?encoder\.layer\.\d+\.attention",
    query="self.query",
    key="self.key",
    value="self.value",
    output="output.dense",
    core="self",
    ffn=r"(?:.*\.)?encoder\.layer\.\d+",
    inner="intermediate.dense",
    outer="output.dense",
    activation="intermediate.intermediate_act_fn",
)

TABLES: dict[str, Table] = {
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
    "camembert": BERT,
    "electra": BERT,
}


@dataclass(frozen=True)
class Structure:
    """The prunable layers of one model, in order."""

    attention: list[Attention]
    ffn: list[Ffn]


def read(model: nn.Module) -> Structure:
    """Find the layers of `model` by its architecture's table.

    Raises PolicyError, with the linear layers there are, for an architecture without a table.
    """
    config = getattr(model, "config", None)
    kind = getattr(config, "model_type", None)
    if kind not in TABLES:
        raise PolicyError(_no_table(model, kind))
    table = TABLES[kind]
    head_size = getattr(config, table.hidden) // getattr(config, table.heads)
    attention, ffn = [], []
    for name, _ in model.named_modules():
        if re.fullmatch(table.attention, name):
            parts = {r: f"{name}.{getattr(table, r)}" for r in ATTENTION_ROLES}
            attention.append(Attention(name=name, head_size=head_size, **parts))
        if re.fullmatch(table.ffn, name):
            parts = {r: f"{name}.{getattr(table, r)}" for r in ("inner", "outer", "activation")}
            ffn.append(Ffn(name=name, **parts))
    if not attention:
        raise PolicyError(_no_table(model, kind))
    return Structure(attention, ffn)


ATTENTION_ROLES = ("query", "key", "value", "output", "core")


def _no_table(model: nn.Module, kind: str | None) -> str:
    linears = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    shown = ", ".join(linears[:8]) + (f", ... {len(linears) - 8} more" if len(linears) > 8 else "")
    return (
        f"no table for the architecture {kind or type(model).__name__!r} "
        f"(tables: {', '.join(sorted(TABLES))})\n"
        f"its linear layers: {shown or 'none'}\n"
        "write rules for them: Policy(rules=[Rule(pattern, algorithm, geometry)])"
    )


def has_heads(model: nn.Module, layer: Attention) -> bool:
    """False for an attention that was shrunk to nothing: its core has no query matrix left."""
    return any(name == layer.query for name, _ in model.named_modules())
