"""From the parts of a policy to rules: one rule a matrix of the attention or the FFN."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from torch import nn

from prune.errors import PolicyError, unknown
from prune.masks import structure
from prune.masks.algorithms import Ampere
from prune.masks.rules import Part, Policy, Rule
from prune.masks.sliced import of_slices
from prune.masks.structure import Attention, Ffn

SHARINGS = {"attention": ("none", "joint", "value_output"), "ffn": ("none", "pair")}


def part_rules(model: nn.Module, policy: Policy) -> Iterator[Rule]:
    """Raises PolicyError for an architecture without a table, or a sharing that it cannot have."""
    if policy.attention is None and policy.ffn is None:
        return
    found = structure.known(model)
    if part := _checked(policy.attention, "attention"):
        for layer in filter(partial(structure.has, model), found.attention):
            yield from _attention(layer, part)
    if part := _checked(policy.ffn, "ffn"):
        for ffn in filter(partial(structure.has, model), found.ffn):
            yield from _ffn(ffn, part)


def _checked(part: Part | None, name: str) -> Part | None:
    if part is not None and part.sharing not in SHARINGS[name]:
        raise PolicyError(f"{name}: {unknown('sharing', part.sharing, SHARINGS[name])}")
    return part


def _attention(layer: Attention, part: Part) -> Iterator[Rule]:
    joint, pruned = part.sharing == "joint", list(dict.fromkeys(layer.rows))
    if part.sharing == "value_output":
        if layer.value in (layer.query, layer.key):
            raise PolicyError(
                f"attention.sharing=value_output: {layer.value} holds the query or key too; "
                "use attention=heads"
            )
        pruned = [layer.value]
    shared = None if part.sharing == "none" else layer.name
    for role in pruned:
        slices = structure.fused(layer.rows, role)
        fit = replace(part, geometry=of_slices(part.geometry, slices, joint))
        yield from _rules(role, fit, layer.part, shared, False, layer.head_size)
    yield from _rules(layer.output, part, layer.part, shared, True, layer.head_size)


def _ffn(layer: Ffn, part: Part) -> Iterator[Rule]:
    pair = part.sharing == "pair"
    shared = layer.name if pair else None
    for role in dict.fromkeys(layer.rows):
        slices = structure.fused(layer.rows, role)
        fit = replace(part, geometry=of_slices(part.geometry, slices, pair))
        yield from _rules(role, fit, layer.part, shared, False)
    yield from _rules(layer.outer, part, layer.part, shared, pair)


def _rules(
    module: str,
    part: Part,
    name: str,
    shared: str | None,
    flipped: bool,
    head_size: int | None = None,
) -> Iterator[Rule]:
    rule = Rule(
        re.escape(module),
        part.algorithm,
        part.geometry,
        share=shared and shared.replace("\\", "\\\\"),
        flipped=flipped,
        part=name,
        head_size=head_size,
        weight=part.weight,
        pooled=part.pooled,
    )
    yield rule
    if part.ampere:
        yield replace(rule, algorithm=Ampere(), share=None, pooled=False)
