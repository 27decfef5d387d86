"""A policy resolved on a model into Sites: what becomes what. Pure: it decides, changes nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import nn

from prune.errors import PolicyError
from prune.masks.algorithms import Algorithm
from prune.masks.geometry import Block, Geometry, Grid, blocks_that_fit
from prune.masks.layout import columns_per_input, prunable, shape_of
from prune.masks.parts import part_rules
from prune.masks.rules import Part, Policy, Rule, hybrid, structured
from prune.masks.sliced import Sliced, Stacked

__all__ = ["Part", "Policy", "Rule", "Site", "hybrid", "resolve", "structured"]


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
    flipped: bool  # the scores lie as the transpose does
    weight: float
    pool: str  # score tensors with the same name are ranked together

    @property
    def groups(self) -> tuple[int, int]:
        """The shape of the mask in the layout of its (perhaps shared) scores."""
        rows, columns = self.grid.shape(self.shape)
        return (columns, rows) if self.flipped else (rows, columns)


def resolve(model: nn.Module, policy: Policy) -> list[Site]:
    """The sites of `policy` on `model`, in the order of the model.

    Raises PolicyError for a pattern that matches nothing, a group that does not divide its matrix,
    a matrix named twice, scores shared by what differs in shape or algorithm, or an architecture
    without a table.
    """
    modules = dict(model.named_modules())
    sites = [
        site
        for rule in (*part_rules(model, policy), *policy.rules)
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


def _apply(rule: Rule, modules: dict[str, nn.Module]) -> Iterator[Site]:
    matches = [(name, re.fullmatch(rule.pattern, name)) for name in modules]
    found = [(name, match) for name, match in matches if match and prunable(modules[name])]
    if not found:
        linears = [name for name, module in modules.items() if prunable(module)]
        raise PolicyError(
            f"the pattern {rule.pattern!r} matches no linear layer or convolution "
            f"(there are {len(linears)}, such as {', '.join(linears[:3])})"
        )
    for name, match in found:
        own = rule.algorithm.geometry
        geometry, flipped = own or rule.geometry, rule.flipped and own is None
        shape, unit = shape_of(name, modules[name]), columns_per_input(modules[name])
        grid = geometry.grid(shape, rule.head_size, flipped, unit)
        if grid is None:
            raise PolicyError(_does_not_fit(replace(rule, geometry=geometry), name, shape))
        alone = name if own is None else f"{name}.pattern"  # a mask of the same matrix has `name`
        yield Site(
            module=name,
            shape=shape,
            part=rule.part,
            scores=match.expand(rule.share) if rule.share else alone,
            algorithm=rule.algorithm,
            geometry=geometry,
            grid=grid,
            # Scores of its own lie as the matrix does: a product with a transpose is slow.
            flipped=flipped and rule.share is not None,
            weight=rule.weight,
            pool=rule.part if rule.pooled and rule.algorithm.ranks else "",
        )


def _does_not_fit(rule: Rule, name: str, shape: tuple[int, int]) -> str:
    rows, columns = shape[::-1] if rule.flipped else shape
    block = rule.geometry
    if isinstance(block, Sliced | Stacked):
        rows, block = rows // block.slices, block.inside
    size = rule.head_size
    heads = f" has {rows // size} heads of {size}" if size else ""
    asked = f"[{block.rows},{block.columns}]" if isinstance(block, Block) else str(block)
    key = f"{rule.part}.block" if rule.part in ("attention", "ffn") else "the rule's block"
    return (
        f"{key}={asked} does not divide {name} ({shape[0]}x{shape[1]}{heads})\n"
        f"blocks that fit: rows {blocks_that_fit(rows)}; columns {blocks_that_fit(columns)}"
        + ("; or heads" if size else "")
    )
