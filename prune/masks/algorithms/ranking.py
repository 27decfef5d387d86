"""Keep the largest: an exact order statistic without a full sort.

On a CPU it is numpy that compares and counts: several times as fast as torch on one thread.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from prune.kernels import between

MANY = 1 << 14  # values, of which it pays to sort a sample to guess where the cut is:
SAMPLE, SPARSE = 1 << 14, 8  # so many, but at most one in so many
MARGINS = 3.0, 12.0  # standard deviations of the guess; where the first was too few, the other
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
    the bracket was a wrong guess twice, all of it is.
    """
    total = sum(part.numel() for part in parts)
    if count >= total or count <= 0:
        return [torch.full_like(part, count > 0, dtype=torch.uint8) for part in parts]
    flat = [part.detach().reshape(-1) for part in parts]
    found = None
    if total >= MANY and all(map(_for_numpy, flat)):
        brackets = (_bracket(flat, count, margin) for margin in MARGINS)
        tried = (_keep_between(flat, count, *bracket) for bracket in brackets)
        found = next((masks for masks in tried if masks), None)
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


def _keep_between(flat: list[Tensor], count: int, low: float, high: float) -> list[Tensor] | None:
    """By a bracket; None if the cut is not in it."""
    parts = [between.split(part, low, high) or _split(part, low, high) for part in flat]
    masks, seen, inside, places = zip(*parts, strict=True)
    missing, values = count - sum(seen), np.concatenate(inside)
    if not 0 < missing <= len(values):
        return None
    cut = np.partition(values, len(values) - missing)[len(values) - missing]
    kept = values > cut
    kept[np.flatnonzero(values == cut)[: missing - np.count_nonzero(kept)]] = True
    ends = np.cumsum([len(part) for part in inside])[:-1]
    for mask, at, these in zip(masks, places, np.split(kept, ends), strict=True):
        mask[at] = these
    return [torch.from_numpy(mask.view(np.uint8)) for mask in masks]


def _split(flat: Tensor, low: float, high: float) -> between.Split:
    """The same by numpy, of any length and type."""
    values = flat.numpy()
    mask, inside = values > high, values > low
    places = np.flatnonzero(np.logical_xor(inside, mask, out=inside))
    return mask, int(np.count_nonzero(mask)), values[places], places


def _bracket(flat: list[Tensor], count: int, margin: float) -> tuple[float, float]:
    """(low, high]: very likely the `count`-th largest is in it. A sorted sample says where."""
    total = sum(map(len, flat))
    step = max(SPARSE, total // SAMPLE)
    sample = np.sort(np.concatenate([part[::step].numpy() for part in flat]))
    share = 1 - count / total
    off = margin * math.sqrt(share * (1 - share) * len(sample)) + 1
    first, last = int(share * len(sample) - off), int(share * len(sample) + off)
    # What ties with the lower end is inside: scores that never moved are all the same.
    low = float(np.nextafter(sample[first], -np.inf)) if first >= 0 else -math.inf
    return low, float(sample[last]) if last < len(sample) else math.inf
