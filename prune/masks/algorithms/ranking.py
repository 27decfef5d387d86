"""Keep the largest: an exact order statistic without a full sort."""

import math

import torch
from torch import Tensor

SAMPLE = 1 << 14  # values that are sorted to guess where the cut is


def count_kept(density: float, total: int) -> int:
    """round(density * total), halves up."""
    return min(total, max(0, math.floor(density * total + 0.5)))


def above(values: Tensor, cut: float) -> Tensor:
    """1 where a value is above `cut`, else 0, in the dtype of the values.

    On a CPU a comparison that writes floats is three times as fast as one that writes booleans,
    and a product of floats five times as fast as one of a float and a boolean.
    """
    return torch.gt(values, cut, out=torch.empty_like(values))


def count_ones(mask: Tensor) -> int:
    """The sum of zeros and ones, exactly. (`count_nonzero` of floats is ninety times slower.)"""
    exact = torch.float32 if mask.numel() < 1 << 24 else torch.float64
    return int(mask.sum(dtype=exact))


def keep_largest(values: Tensor, count: int) -> Tensor:
    """A mask with exactly `count` ones, else 0: the largest values, first index on ties.

    A sorted sample brackets the cut; what lies above the bracket is kept, and only what lies in it
    is searched. That is three passes over the data; where the guess fails, all of it is searched.
    """
    if count >= values.numel():
        return torch.ones_like(values)
    if count <= 0:
        return torch.zeros_like(values)
    flat = values.reshape(-1)
    if flat.numel() > 4 * SAMPLE and not flat.is_cuda:
        low, high = _bracket(flat, count)
        mask = above(flat, high)
        near = torch.ge(flat, low, out=torch.empty_like(flat)).sub_(mask)
        places = near.nonzero()[:, 0]
        missing = count - count_ones(mask)
        if 0 < missing <= len(places):
            mask[places[_keep(flat[places], missing)]] = 1
            return mask.view(values.shape)
    return _keep(flat, count).view(values.shape).to(values.dtype)


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
