"""What is pruned, and as what: parts and rules, resolved on a model into Sites. Pure.

A Policy says how the attention and the FFN of a known architecture are pruned, and may add rules
that name any linear layer by a regular expression. `resolve` decides and changes nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from torch import Tensor, nn

from prune.errors import PolicyError
from prune.masks import structure
from prune.masks.algorithms import Algorithm, SigmoidThreshold, TopK
from prune.masks.geometry import Block, Geometry, Grid, Heads, Rows, blocks_that_fit
from prune.masks.schedule import Schedule
from prune.masks.sliced import of_slices


@dataclass(frozen=True)
class Part:
    """How the attention or the FFN of a network is pruned."""

    algorithm: Algorithm
    geometry: Geometry
    share: bool = False  # FFN: the rows of inner and the columns of outer have the same scores
    weight: float = 1.0  # of this part in the penalty
    pooled: bool = False  # rank all matrices of the part together


@dataclass(frozen=True)
class Rule:
    """Prune every linear layer whose full name matches `pattern`.

    `share` names the score tensor: a template for the match, as in `re.Match.expand`, so that
    layers that get the same name share their scores. `flipped` cuts the transpose of the matrix.
    """

    pattern: str
    algorithm: Algorithm
    geometry: Geometry
    share: str | None = None
    flipped: bool = False
    part: str = "custom"
    head_size: int | None = None
    weight: float = 1.0
    pooled: bool = False


@dataclass(frozen=True)
class Policy:
    """Everything the Pruner has to know. Penalty is lambda, the weight of all parts together."""

    attention: Part | None = None
    ffn: Part | None = None
    rules: list[Rule] = field(default_factory=list)
    schedule: Schedule = field(default_factory=Schedule)
    penalty: float = 0.0


@dataclass(frozen=True)
class Site:
    """One matrix that will be masked."""

    module: str
    part: str
    scores: str  # name of the score tensor; sites with the same name share it
    algorithm: Algorithm
    geometry: Geometry
    grid: Grid
    flipped: bool
    weight: float
    pool: str  # score tensors with the same name are ranked together


def hybrid(
    block: tuple[int, int] = (32, 32),
    density: float | None = None,
    penalty: float = 10.0,
    schedule: Schedule | None = None,
) -> Policy:
    """Blocks in the attention, whole neurons in the FFN (Lagunas et al. 2021).

    With a `density`, top-k keeps exactly that share; without, the penalty decides.
    """
    algorithm: Algorithm = SigmoidThreshold() if density is None else TopK(density)
    return Policy(
        attention=Part(algorithm, Block(*block)),
        ffn=Part(algorithm, Rows(), share=True),
        penalty=penalty if density is None else 0.0,
        schedule=schedule or Schedule(),
    )


def structured(density: float | None = None, penalty: float = 10.0) -> Policy:
    """Whole heads and whole neurons."""
    algorithm: Algorithm = SigmoidThreshold() if density is None else TopK(density)
    return Policy(
        attention=Part(algorithm, Heads()),
        ffn=Part(algorithm, Rows(), share=True),
        penalty=penalty if density is None else 0.0,
    )


def resolve(model: nn.Module, policy: Policy) -> list[Site]:
    """The sites of `policy` on `model`, in the order of the model.

    Raises PolicyError for a pattern that matches nothing, a group that does not divide its matrix,
    a matrix named twice, or an architecture without a table.
    """
    modules = dict(model.named_modules())
    sites = [
        site
        for rule in (*_part_rules(model, policy), *policy.rules)
        for site in _apply(rule, modules)
    ]
    names = [site.module for site in sites]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise PolicyError(f"{twice[0]} is named by two rules: one matrix takes one mask")
    order = {name: i for i, name in enumerate(modules)}
    return sorted(sites, key=lambda site: order[site.module])


def matrix(module: nn.Module, weight: Tensor) -> Tensor:
    """`weight` of a prunable module as an (out, in) view."""
    return weight


def _part_rules(model: nn.Module, policy: Policy) -> Iterator[Rule]:
    if policy.attention is None and policy.ffn is None:
        return
    found = structure.read(model)
    if part := policy.attention:
        for layer in filter(partial(structure.has, model), found.attention):
            fit = replace(part, geometry=of_slices(part.geometry, structure.fused(layer.rows)))
            for role in dict.fromkeys(layer.rows):
                yield _rule(role, fit, layer.part, role, head_size=layer.head_size)
            yield _rule(layer.output, part, layer.part, layer.output, True, layer.head_size)
    if part := policy.ffn:
        for ffn in filter(partial(structure.has, model), found.ffn):
            slices, outer = structure.fused(ffn.rows), ffn.name if part.share else ffn.outer
            fit = replace(part, geometry=of_slices(part.geometry, slices, part.share))
            for role in dict.fromkeys(ffn.rows):
                yield _rule(role, fit, ffn.part, ffn.name if part.share else role)
            yield _rule(ffn.outer, part, ffn.part, outer, flipped=part.share)


def _rule(
    module: str,
    part: Part,
    name: str,
    share: str,
    flipped: bool = False,
    head_size: int | None = None,
) -> Rule:
    escaped = share.replace("\\", "\\\\")
    return Rule(
        re.escape(module),
        part.algorithm,
        part.geometry,
        share=escaped,
        flipped=flipped,
        part=name,
        head_size=head_size,
        weight=part.weight,
        pooled=part.pooled,
    )


def _apply(rule: Rule, modules: dict[str, nn.Module]) -> Iterator[Site]:
    matches = [(name, re.fullmatch(rule.pattern, name)) for name in modules]
    found = [(name, match) for name, match in matches if match and _prunable(modules[name])]
    if not found:
        linears = [name for name, module in modules.items() if _prunable(module)]
        raise PolicyError(
            f"the pattern {rule.pattern!r} matches no linear layer (there are {len(linears)}, "
            f"such as {', '.join(linears[:3])})"
        )
    for name, match in found:
        module = modules[name]
        rows, columns = matrix(module, cast(Tensor, module.weight)).shape
        shape = (rows, columns)
        grid = rule.geometry.grid(shape, rule.head_size, rule.flipped)
        if grid is None:
            raise PolicyError(_does_not_fit(rule, name, shape))
        yield Site(
            module=name,
            part=rule.part,
            scores=match.expand(rule.share) if rule.share else name,
            algorithm=rule.algorithm,
            geometry=rule.geometry,
            grid=grid,
            flipped=rule.flipped,
            weight=rule.weight,
            pool=rule.part if rule.pooled else "",
        )


def _prunable(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)


def _does_not_fit(rule: Rule, name: str, shape: tuple[int, int]) -> str:
    rows, columns = shape[::-1] if rule.flipped else shape
    size = rule.head_size
    heads = f" has {rows // size} heads of {size}" if size else ""
    block = rule.geometry
    asked = f"[{block.rows},{block.columns}]" if isinstance(block, Block) else str(block)
    key = f"{rule.part}.block" if rule.part in ("attention", "ffn") else "the rule's block"
    return (
        f"{key}={asked} does not divide {name} ({shape[0]}x{shape[1]}{heads})\n"
        f"blocks that fit: rows {blocks_that_fit(rows)}; columns {blocks_that_fit(columns)}"
        + ("; or heads" if size else "")
    )
