"""Which module of a network plays which role: tables per architecture, read on a model.

An attention has query, key, value and output matrices and a head size; an FFN has an inner matrix
(hidden -> width), perhaps a gate beside it, an activation, and an outer one (width -> hidden).
"""

import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from prune.errors import PolicyError
from prune.masks.layout import prunable
from prune.masks.structure.layers import Attention, Ffn, Structure, fused
from prune.masks.structure.table import AttentionTable, FfnTable
from prune.masks.structure.tables import TABLES

__all__ = ["TABLES", "Attention", "Ffn", "Structure", "fused", "has", "known", "read"]


def read(model: nn.Module) -> Structure:
    """Find the layers of `model` by its architecture's table.

    Without a table nothing is known of its layers but which are linear or convolutions: masks can
    be put on those by rules of one's own, and there is nothing to shrink.
    """
    config = getattr(model, "config", None)
    table = TABLES.get(str(getattr(config, "model_type", None)))
    names = dict(model.named_modules())
    if table is not None:
        attention = [a for name in names for a in _attention(name, table.attention, config)]
        if attention:
            ffn = [f for name in names for f in _ffn(name, table.ffn, set(names))]
            return Structure(attention, ffn)
    return Structure([], [], [name for name, module in names.items() if prunable(module)])


def known(model: nn.Module) -> Structure:
    """`read`, of an architecture that has a table.

    Raises PolicyError, with the linear layers there are and the rules to write, for another one.
    """
    found = read(model)
    if not found.attention:
        raise PolicyError(_no_table(model))
    return found


def has(model: nn.Module, layer: Attention | Ffn) -> bool:
    """False for a layer that was shrunk to nothing: no head, or no neuron, is left."""
    weights = dict(model.named_parameters(remove_duplicate=False))
    found = [weights.get(f"{name}.weight") for name in layer.rows]
    return all(weight is not None and weight.numel() > 0 for weight in found)


def _attention(name: str, tables: tuple[AttentionTable, ...], config: Any) -> Iterator[Attention]:
    for table in tables:
        if re.fullmatch(table.pattern, name):
            heads = getattr(config, table.heads)
            yield Attention(
                name=name,
                query=f"{name}.{table.query}",
                key=f"{name}.{table.key}",
                value=f"{name}.{table.value}",
                output=f"{name}.{table.output}",
                core=f"{name}.{table.core}".removesuffix("."),
                head_size=_head_size(config, heads),
                group=heads // (getattr(config, "num_key_value_heads", None) or heads),
                table=table,
            )


def _head_size(config: Any, heads: int) -> int:
    given = getattr(config, "head_dim", None) or getattr(config, "attention_head_size", None)
    return int(given or config.hidden_size // heads)


def _ffn(name: str, tables: tuple[FfnTable, ...], known: set[str]) -> Iterator[Ffn]:
    for table in tables:
        if re.fullmatch(table.pattern, name) and f"{name}.{table.inner}" in known:
            yield Ffn(
                name=name,
                inner=f"{name}.{table.inner}",
                outer=f"{name}.{table.outer}",
                activation=f"{name}.{table.activation}",
                gate=f"{name}.{table.gate}" if table.gate else None,
                part=table.part,
            )


def _no_table(model: nn.Module) -> str:
    """What was found, and the rules to write, one for each kind of matrix."""
    kind = getattr(getattr(model, "config", None), "model_type", None)
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    patterns = list(dict.fromkeys(re.sub(r"\d+", r"\\d+", re.escape(n)) for n in linears))
    shown = ", ".join(linears[:8]) + (f", ... {len(linears) - 8} more" if len(linears) > 8 else "")
    rules = "\n".join(f'  Rule(r"{p}", TopK(0.5), Block(32, 32)),' for p in patterns[:12])
    return (
        f"no table for the architecture {kind or type(model).__name__!r} "
        f"(tables: {', '.join(sorted(TABLES))})\n"
        f"its linear layers: {shown or 'none'}\n"
        f"write rules for those to prune: Policy(rules=[\n{rules}\n])"
    )
