"""What is pruned, and as what: parts and rules, resolved on a model into Sites. Pure.

A Policy says how the attention and the FFN of a known architecture are pruned, and may add rules
that name any linear layer by a regular expression. `resolve` decides and changes nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from torch import nn

from prune.errors import PolicyError
from prune.masks import structure
from prune.masks.algorithms import Algorithm, Ampere, SigmoidThreshold, TopK
from prune.masks.geometry import Block, Geometry, Grid, Heads, Rows, blocks_that_fit
from prune.masks.layout import columns_per_input, prunable, shape_of
from prune.masks.schedule import Schedule
from prune.masks.sliced import of_slices


@dataclass(frozen=True)
class Part:
    """How the attention or the FFN of a network is pruned.

    sharing, FFN: `pair`, the rows of inner (and gate) and the columns of outer have one score
    tensor. Attention: `joint`, query, key, value and the output transposed have one;
    `value_output`, only value and output are pruned and have one. Else `none`.
    """

    algorithm: Algorithm
    geometry: Geometry
    sharing: str = "none"
    weight: float = 1.0  # of this part in the penalty
    pooled: bool = False  # rank all matrices of the part together
    ampere: bool = False  # times 2 of every 4 weights


@dataclass(frozen=True)
class Rule:
    """Prune every linear layer or convolution whose full name matches `pattern`.

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
    """Everything the Pruner has to know. Penalty is lambda, the weight of all parts together.

    The seed is that of the noise of `l0`; processes that train together need the same.
    """

    attention: Part | None = None
    ffn: Part | None = None
    rules: list[Rule] = field(default_factory=list)
    schedule: Schedule = field(default_factory=Schedule)
    penalty: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Site:
    """One mask of one matrix."""

    module: str
    shape: tuple[int, int]  # (out, in) of the matrix
    part: str
    scores: str  # name of the score tensor; sites with the same name share it
    algorithm: Algorithm
    geometry: Geometry
    grid: Grid
    flipped: bool
    weight: float
    pool: str  # score tensors with the same name are ranked together

    @property
    def groups(self) -> tuple[int, int]:
        """The shape of the mask in the layout of its (perhaps shared) scores."""
        rows, columns = self.grid.shape(self.shape)
        return (columns, rows) if self.flipped else (rows, columns)


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
        ffn=Part(algorithm, Rows(), sharing="pair"),
        penalty=penalty if density is None else 0.0,
        schedule=schedule or Schedule(),
    )


def structured(density: float | None = None, penalty: float = 10.0) -> Policy:
    """Whole heads and whole neurons."""
    algorithm: Algorithm = SigmoidThreshold() if density is None else TopK(density)
    return Policy(
        attention=Part(algorithm, Heads()),
        ffn=Part(algorithm, Rows(), sharing="pair"),
        penalty=penalty if density is None else 0.0,
    )


def resolve(model: nn.Module, policy: Policy) -> list[Site]:
    """The sites of `policy` on `model`, in the order of the model.

    Raises PolicyError for a pattern that matches nothing, a group that does not divide its matrix,
    a matrix named twice, scores shared by what has other shapes, or an architecture without a table.
    """
    modules = dict(model.named_modules())
    sites = [
        site
        for rule in (*_part_rules(model, policy), *policy.rules)
        for site in _apply(rule, modules)
    ]
    _refuse_conflicts(sites, modules)
    order = {name: i for i, name in enumerate(modules)}
    return sorted(sites, key=lambda site: order[site.module])


def _refuse_conflicts(sites: list[Site], modules: dict[str, nn.Module]) -> None:
    matrices: dict[tuple[int, bool], str] = {}
    ties: dict[str, Site] = {}
    for site in sites:
        key = (id(modules[site.module].weight), site.algorithm.geometry is not None)
        if other := matrices.get(key):
            names = site.module if other == site.module else f"{other} (tied to {site.module})"
            raise PolicyError(
                f"{names} is named by two rules: one matrix takes one mask, and one of 2:4"
            )
        matrices[key] = site.module
        first = ties.setdefault(site.scores, site)
        if _needs(first) != _needs(site):
            raise PolicyError(
                f"{first.module} and {site.module} cannot share scores: {_says(first)} against "
                f"{_says(site)}; let them share with their equals, or use sharing none"
            )


def _needs(site: Site) -> tuple[object, ...]:
    return site.groups, site.algorithm, site.part, site.weight, site.pool


def _says(site: Site) -> str:
    rows, columns = site.groups
    return (
        f"{rows}x{columns} groups of a {site.shape[0]}x{site.shape[1]} matrix by "
        f"{site.algorithm} in {site.part}"
    )


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
