"""Keep the largest: an exact order statistic without a full sort."""

import math

import torch
from torch import Tensor

SAMPLE = 1 << 14  # values looked at to guess where the cut is


def count_kept(density: float, total: int) -> int:
    """round(density * total), halves up."""
    return min(total, max(0, math.floor(density * total + 0.5)))


def keep_largest(values: Tensor, count: int) -> Tensor:
    """A boolean mask with exactly `count` true entries: the largest values, first index on ties."""
    flat = values.reshape(-1)
    if count >= flat.numel():
        return torch.ones_like(values, dtype=torch.bool)
    if count <= 0:
        return torch.zeros_like(values, dtype=torch.bool)
    cut = kth_largest(flat, count)
    mask = flat > cut
    missing = count - int(mask.sum())
    ties = (flat == cut).nonzero()[:missing, 0]
    mask[ties] = True
    return mask.view(values.shape)


def kth_largest(flat: Tensor, k: int) -> Tensor:
    """The k-th largest of a vector (k from 1), exact.

    A sorted sample brackets the answer; only what lies in the bracket is searched. One pass over
    the data instead of the many of a selection; where the guess fails, the selection it is.
    """
    n = flat.numel()
    if n > 4 * SAMPLE and not flat.is_cuda:
        sample = flat[:: n // SAMPLE].sort().values
        at = (n - k) / n * len(sample)
        margin = 4 * math.sqrt(len(sample)) / 2 + 1
        low = sample[max(0, int(at - margin))]
        high = sample[min(len(sample) - 1, int(at + margin))]
        above = int((flat > high).sum())
        inside = flat[(flat >= low) & (flat <= high)]
        if above < k <= above + len(inside):
            return _select(inside, k - above)
    return _select(flat, k)


def _select(flat: Tensor, k: int) -> Tensor:
    return flat.kthvalue(flat.numel() - k + 1).values
