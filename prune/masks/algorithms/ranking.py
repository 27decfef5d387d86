"""Keep the largest: an exact order statistic without a full sort.

On a CPU it is numpy that compares and counts: several times as fast as torch on one thread.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

SAMPLE = 1 << 14  # values that are sorted to guess where the cut is, of as many as:
MANY = 1 << 18
GUESSES, FEW = 12, 1 << 8  # counts that narrow it down, until one value in so many is left
NUMPY = (torch.float32, torch.float64)


def count_kept(density: float, total: int) -> int:
    """round(density * total), halves up."""
    return min(total, max(0, math.floor(density * total + 0.5)))


def above(values: Tensor, cut: float) -> Tensor:
    """Bytes: 1 where a value is above `cut`, else 0."""
    if not _for_numpy(values):
        return (values > cut).to(torch.uint8)
    flat = values.detach().reshape(-1).numpy()
    return torch.from_numpy(np.greater(flat, cut).view(np.uint8)).view(values.shape)


def count_ones(mask: Tensor) -> int:
    """The sum of bytes of 0 and 1."""
    return int(np.count_nonzero(mask.numpy()) if mask.device.type == "cpu" else mask.sum())


def keep_largest(values: Tensor, count: int) -> Tensor:
    """A mask of bytes with exactly `count` ones, else 0: the largest, first index on ties.

    What lies above a bracket around the cut is kept, and only what lies in it is searched; where
    the bracket was a wrong guess, all of it is.
    """
    if count >= values.numel():
        return torch.ones_like(values, dtype=torch.uint8)
    if count <= 0:
        return torch.zeros_like(values, dtype=torch.uint8)
    flat = values.detach().reshape(-1)
    if flat.numel() >= MANY and _for_numpy(flat):
        low, high = _bracket(flat.numpy(), count)
        missing, places = count - high.seen, np.flatnonzero(low.mask ^ high.mask)
        if 0 < missing <= len(places):
            mask, between = torch.from_numpy(high.mask), torch.from_numpy(places)
            mask[between[_keep(flat[between], missing)]] = True
            return mask.view(torch.uint8).view(values.shape)
    return _keep(flat, count).view(torch.uint8).view(values.shape)


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


class _Cut:
    """Which of a vector are above `cut`, and how many."""

    def __init__(self, flat: Any, cut: float) -> None:
        self.cut, self.mask = cut, np.greater(flat, cut)
        self.seen = int(np.count_nonzero(self.mask))


def _bracket(flat: Any, count: int) -> tuple[_Cut, _Cut]:
    """Two cuts: very likely the `count`-th largest is above the first and not above the other.

    A sorted sample says where to look. Then values above a guess are counted, which is cheap, and
    the next one is interpolated: a little beyond the place, as seen from the end that is farther
    from it, so that this end comes close.
    """
    sample = np.sort(flat[:: len(flat) // SAMPLE])
    share, scale = 1 - count / len(flat), len(flat) / len(sample)
    margin = 4 * math.sqrt(share * (1 - share) * len(sample)) + 1  # four standard deviations
    first, last = int(share * len(sample) - margin), int(share * len(sample) + margin)
    low = float(sample[first]) if first >= 0 else -math.inf
    high = float(sample[last]) if last < len(sample) else math.inf
    most, least = len(flat) - scale * first, len(flat) - scale * last  # so many are above them
    found, beyond = dict[bool, _Cut](), 2.0
    for _ in range(GUESSES):
        if most - least <= len(flat) / FEW or not 0 < high - low < math.inf:
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
