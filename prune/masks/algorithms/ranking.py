"""Keep the largest: an exact order statistic without a full sort."""

import math

import torch
from torch import Tensor

SAMPLE = 1 << 14  # values that are sorted to guess where the cut is


def count_kept(density: float, total: int) -> int:
    """round(density * total), halves up."""
    return min(total, max(0, math.floor(density * total + 0.5)))


def keep_largest(values: Tensor, count: int) -> Tensor:
    """A boolean mask with exactly `count` true entries: the largest values, first index on ties.

    A sorted sample brackets the cut; what lies above the bracket is kept, and only what lies in it
    is searched. That is three passes over the data; where the guess fails, all of it is searched.
    """
    if count >= values.numel():
        return torch.ones_like(values, dtype=torch.bool)
    if count <= 0:
        return torch.zeros_like(values, dtype=torch.bool)
    flat = values.reshape(-1)
    if flat.numel() > 4 * SAMPLE and not flat.is_cuda:
        low, high = _bracket(flat, count)
        mask = flat > high
        open_places = (mask ^ (flat >= low)).nonzero()[:, 0]
        missing = count - int(torch.count_nonzero(mask))
        if 0 < missing <= len(open_places):
            mask[open_places[_keep(flat[open_places], missing)]] = True
            return mask.view(values.shape)
    return _keep(flat, count).view(values.shape)


def kth_largest(flat: Tensor, k: int) -> Tensor:
    """The k-th largest of a vector, k from 1."""
    return flat.kthvalue(flat.numel() - k + 1).values


def _keep(flat: Tensor, count: int) -> Tensor:
    cut = kth_largest(flat, count)
    mask = flat > cut
    ties = (flat == cut).nonzero()[: count - int(torch.count_nonzero(mask)), 0]
    mask[ties] = True
    return mask


def _bracket(flat: Tensor, count: int) -> tuple[float, float]:
    """Two values that very likely hold the `count`-th largest between them."""
    sample = flat[:: flat.numel() // SAMPLE].sort().values
    share = 1 - count / flat.numel()
    middle = share * len(sample)
    margin = 3 * math.sqrt(share * (1 - share) * len(sample)) + 1  # three standard deviations
    low, high = int(middle - margin), int(middle + margin)
    return (
        float(sample[low]) if low >= 0 else -math.inf,
        float(sample[high]) if high < len(sample) else math.inf,
    )
