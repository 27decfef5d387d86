"""Keep the largest: an exact order statistic without a full sort.

On a CPU it is numpy that compares and counts: several times as fast as torch on one thread.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MANY = 1 << 14  # values, of which it pays to sort a sample to guess where the cut is:
SAMPLE, SPARSE = 1 << 14, 8  # so many, but at most one in so many
GUESSES, FEW = 12, 1 << 8  # counts that narrow it down, until one value in so many is left
NUMPY = (torch.float32, torch.float64)


def count_kept(density: float, total: int) -> int:
    """round(density * total), halves up."""
    return min(total, max(0, math.floor(density * total + 0.5)))


def above(values: Tensor, cut: float) -> tuple[Tensor, int | None]:
    """Bytes, 1 where a value is above `cut`, else 0; and their sum, unless a GPU has it."""
    values = values.detach()
    if not _for_numpy(values):
        mask = (values > cut).to(torch.uint8)
        return mask, None if mask.is_cuda else int(mask.sum())
    mask = torch.from_numpy(np.greater(values.numpy(), cut).view(np.uint8))
    return mask, int(np.count_nonzero(mask.numpy()))


def keep_largest(values: Tensor, count: int) -> Tensor:
    """A mask of bytes with exactly `count` ones, else 0: the largest, first index on ties."""
    (mask,) = keep_largest_of([values], count)
    return mask


def keep_largest_of(parts: Sequence[Tensor], count: int) -> list[Tensor]:
    """Masks of bytes with `count` ones in all: the largest of all parts, the first on ties.

    What lies above a bracket around the cut is kept, and only what lies in it is searched; where
    the bracket was a wrong guess, all of it is.
    """
    total = sum(part.numel() for part in parts)
    if count >= total or count <= 0:
        return [torch.full_like(part, count > 0, dtype=torch.uint8) for part in parts]
    flat = [part.detach().reshape(-1) for part in parts]
    found = None
    if total >= MANY and all(map(_for_numpy, flat)):
        found = _keep_between(flat, count)
    if found is None:
        kept = _keep(torch.cat(flat), count).view(torch.uint8)
        found = list(torch.split(kept, list(map(len, flat))))
    return [mask.view(part.shape) for mask, part in zip(found, parts, strict=True)]


def kth_largest(flat: Tensor, k: int) -> Tensor:
    """The k-th largest of a vector, k from 1."""
    return flat.kthvalue(flat.numel() - k + 1).values


def _for_numpy(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype in NUMPY


def _keep(flat: Tensor, count: int) -> Tensor:
    """True at the `count` largest. Nothing here waits for a GPU."""
    cut = kth_largest(flat, count)
    mask, tied = flat > cut, flat == cut
    return mask | (tied & (tied.cumsum(0) <= count - mask.sum()))


def _keep_between(flat: list[Tensor], count: int) -> list[Tensor] | None:
    """By a bracket; None if the cut is not in it."""
    low, high = _bracket(flat, count)
    places = [np.flatnonzero(one ^ two) for one, two in zip(low.masks, high.masks, strict=True)]
    missing = count - high.seen
    if not 0 < missing <= sum(map(len, places)):
        return None
    between = torch.cat([part[at] for part, at in zip(flat, places, strict=True)])
    kept = torch.split(_keep(between, missing), list(map(len, places)))
    for mask, at, these in zip(high.masks, places, kept, strict=True):
        mask[at] = these.numpy()
    return [torch.from_numpy(mask.view(np.uint8)) for mask in high.masks]


class _Cut:
    """Which numbers are above `cut`, and how many."""

    def __init__(self, flat: list[Tensor], cut: float) -> None:
        self.cut, self.seen, self.masks = cut, 0, []
        for part in flat:  # each is counted while it is in the caches
            mask, seen = above(part, cut)
            self.masks.append(mask.numpy().view(np.bool_))
            self.seen += seen or 0


def _bracket(flat: list[Tensor], count: int) -> tuple[_Cut, _Cut]:
    """Two cuts: very likely the `count`-th largest is above the first and not above the other.

    A sorted sample says where to look. Then values above a guess are counted, which is cheap, and
    the next one is interpolated: a little beyond the place, as seen from the end that is farther
    from it, so that this end comes close.
    """
    total = sum(map(len, flat))
    step = max(SPARSE, total // SAMPLE)
    sample = np.sort(np.concatenate([part[::step].numpy() for part in flat]))
    share, scale = 1 - count / total, total / len(sample)
    margin = 4 * math.sqrt(share * (1 - share) * len(sample)) + 1  # four standard deviations
    first, last = int(share * len(sample) - margin), int(share * len(sample) + margin)
    low = float(sample[first]) if first >= 0 else -math.inf
    high = float(sample[last]) if last < len(sample) else math.inf
    most, least = total - scale * first, total - scale * last  # so many are above them
    found, beyond = dict[bool, _Cut](), 2.0
    for _ in range(GUESSES):
        if most - least <= total / FEW or not 0 < high - low < math.inf:
            break
        raise_low = most - count > count - least
        off = beyond * math.sqrt(most - least) * (1 if raise_low else -1)
        aim = min(max(least + 1, count + off), most - 1)
        cut = _Cut(flat, low + (high - low) * (most - aim) / (most - least))
        raised = cut.seen >= count
        found[raised] = cut
        low, most = (cut.cut, cut.seen) if raised else (low, most)
        high, least = (high, least) if raised else (cut.cut, cut.seen)
        beyond = 2.0 if raise_low == raised else 4 * beyond
    return found.get(True) or _Cut(flat, low), found.get(False) or _Cut(flat, high)
