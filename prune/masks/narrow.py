"""What happens to scores and masks when units of the network (heads, neurons) are cut off.

Units may go while they add nothing, and only together with whole groups. The groups that go keep
their rank, before or behind all others, so what is left lives and dies as it would have.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from prune.errors import TrainingError
from prune.masks.cuts import Cut
from prune.masks.groups import Tie
from prune.masks.policy import Site
from prune.masks.pruner import Pruner
from prune.masks.slots import Slot
from prune.masks.structure import Attention, Ffn

ROWS, COLUMNS = 0, 1


@dataclass(frozen=True)
class Replaced:
    """Scores that stand for others, of which they are the slices `index` along `axis` (-2, -1)."""

    scores: nn.Parameter
    axis: int
    index: Tensor

    def take(self, tensor: Tensor) -> Tensor:
        """The same slices of a tensor of the shape of the old scores."""
        return tensor.index_select(self.axis, self.index)


@dataclass(frozen=True)
class Side:
    """The rows or columns of one matrix that stay: `kept` (out,) or (in,)."""

    axis: int
    kept: Tensor


def sides(layer: Attention | Ffn, kept: Tensor) -> dict[str, Side]:
    """Matrix -> what stays of it, where of a layer only the units `kept` (units,) stay.

    The units of an attention are its key and value heads, with their queries; those of an FFN its
    neurons.
    """
    rows: dict[str, list[Tensor]] = {}
    for name, each in zip(layer.rows, _widths(layer), strict=True):
        rows.setdefault(name, []).append(kept.repeat_interleave(each))
    found = {name: Side(ROWS, torch.cat(parts)) for name, parts in rows.items()}
    outer = layer.outer if isinstance(layer, Ffn) else layer.output
    return found | {outer: Side(COLUMNS, kept.repeat_interleave(_widths(layer)[0]))}


def granule(pruner: Pruner, layer: Attention | Ffn, units: int) -> int:
    """How many neighbouring units must go together, so that only whole groups do."""
    outer = layer.outer if isinstance(layer, Ffn) else layer.output
    matrices = [(name, ROWS, each) for name, each in zip(layer.rows, _widths(layer), strict=True)]
    found = 1
    for name, axis, each in (*matrices, (outer, COLUMNS, _widths(layer)[0])):
        for site in pruner.sites:
            group = _extent(site, axis)
            if site.module == name and group < each * units:
                found = math.lcm(found, group // math.gcd(group, each))
    return min(found, units)


def follow(pruner: Pruner, cut: Mapping[str, Side]) -> dict[nn.Parameter, Replaced]:
    """Let the pruner go on after its model lost what `cut` (matrix -> what stays) says.

    The full weights must stand in the model, as after `pruner.restore()`. Returns what replaces
    scores, for whoever trains them. Raises TrainingError if a part of a group is to go.
    """
    modules = dict(pruner.model.named_modules())
    slots: dict[str, Slot] = {}
    replaced: dict[nn.Parameter, Replaced] = {}
    for tie in pruner.ties:
        old, keep = tie.scores, _groups(tie, cut)
        tie.cuts = list(_left(tie, cut, modules, slots))
        if keep:
            index = _take(tie, *keep)
            if old is not None and tie.scores is not None:
                replaced[old] = Replaced(tie.scores, keep[0] - 2, index)
    pruner.slots = [slots[slot.name] for slot in pruner.slots if slot.name in slots]
    pruner.sites = [cut.site for slot in pruner.slots for cut in slot.cuts]
    pruner.apply()
    return replaced


def _widths(layer: Attention | Ffn) -> tuple[int, ...]:
    """Rows of one unit in each matrix of `layer.rows`; the first are its columns after them."""
    if isinstance(layer, Ffn):
        return (1,) * len(layer.rows)
    return layer.group * layer.head_size, layer.head_size, layer.head_size


def _extent(site: Site, axis: int) -> int:
    """Rows or columns of the matrix that one score decides about."""
    groups = site.grid.shape(site.shape)
    scores = site.algorithm.scores_shape(groups)[-2:]
    return (site.grid.rows, site.grid.columns)[axis] * (groups[axis] // scores[axis])


def _groups(tie: Tie, cut: Mapping[str, Side]) -> tuple[int, Tensor] | None:
    """Along which of the last two axes of the scores groups go (0, 1), and which (groups,) stay."""
    found: tuple[int, Tensor] | None = None
    for one in tie.cuts:
        side = cut.get(one.site.module)
        group = _extent(one.site, side.axis) if side else 0
        if not side or group >= len(side.kept):
            continue
        cells = side.kept.view(-1, group)
        if (cells.any(1) != cells.all(1)).any():
            raise TrainingError(f"{one.site.module} cannot lose a part of a group of {group}")
        stays = cells[:, 0]
        axis = 1 - side.axis if one.site.flipped else side.axis
        stays = stays[: one.site.groups[axis] if len(stays) > one.site.groups[axis] else None]
        if found and not (found[0] == axis and torch.equal(found[1], stays)):
            raise TrainingError(f"{tie.name}: what shares scores must lose the same groups")
        found = axis, stays
    return found


def _left(
    tie: Tie, cut: Mapping[str, Side], modules: Mapping[str, nn.Module], slots: dict[str, Slot]
) -> Iterator[Cut]:
    """The cuts of `tie` on the smaller matrices; those that lost everything are gone."""
    for one in tie.cuts:
        site, side = one.site, cut.get(one.site.module)
        if side:
            shape, grid = list(site.shape), site.grid
            whole = _extent(site, side.axis) >= shape[side.axis]
            shape[side.axis] = int(side.kept.sum())
            if not shape[side.axis]:
                continue
            if whole:
                grid = replace(grid, **{("rows", "columns")[side.axis]: shape[side.axis]})
            site = replace(site, shape=(shape[0], shape[1]), grid=grid)
        if site.module not in slots:
            slots[site.module] = Slot(site.module, modules[site.module])
        slot = slots[site.module]
        slot.cuts.append(Cut(site, slot))
        slot.cuts[-1].tie = tie
        yield slot.cuts[-1]


def _take(tie: Tie, axis: int, stays: Tensor) -> Tensor:
    """Keep the scores where `stays` (scores along `axis`,) is true; their index."""
    index = stays.nonzero()[:, 0].to(tie.mask.device)
    if tie.scores is not None:
        tie.scores = nn.Parameter(tie.scores.detach().index_select(axis - 2, index))
    each = tie.mask.shape[axis] // len(stays)  # groups of a score: four for 2:4
    kept = stays.repeat_interleave(each).to(tie.mask.device)
    goes = tie.mask[~kept] if axis == ROWS else tie.mask[:, ~kept]
    tie.mask = tie.mask[kept] if axis == ROWS else tie.mask[:, kept]
    live = int((goes > 0).sum())
    tie.gone = tie.gone[0] + goes.numel() - live, tie.gone[1] + live
    return index
