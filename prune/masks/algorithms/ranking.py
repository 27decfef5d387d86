"""Keep the largest: an exact order statistic without a full sort."""

import math

import torch
from torch import Tensor

SAMPLE = 1 << 12  # values that are sorted to guess where the cut is
GUESSES, FEW = 12, 1 << 12  # counts that narrow it down, until one value in so many is left
PIECE, ROW = 1 << 20, 64  # so many are counted at once; in so many together we look for them


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

    What lies above a bracket around the cut is kept, and only what lies in it is searched; where
    the bracket was a wrong guess, all of it is.
    """
    if count >= values.numel():
        return torch.ones_like(values)
    if count <= 0:
        return torch.zeros_like(values)
    flat = values.reshape(-1)
    if flat.numel() > 16 * SAMPLE and not flat.is_cuda:
        low, high = _bracket(flat, count)
        missing, places = count - high.seen, _between(flat, low, high)
        if 0 < missing <= len(places):
            mask = above(flat, high.cut)
            mask[places[_keep(flat[places], missing)]] = 1
            return mask.view(values.shape)
    return _keep(flat, count).view(values.shape).to(values.dtype)


def kth_largest(flat: Tensor, k: int) -> Tensor:
    """The k-th largest of a vector, k from 1."""
    return flat.kthvalue(flat.numel() - k + 1).values


def _keep(flat: Tensor, count: int) -> Tensor:
    """True at the `count` largest. Nothing here waits for a GPU."""
    cut = kth_largest(flat, count)
    mask, tied = flat > cut, flat == cut
    return mask | (tied & (tied.cumsum(0) <= count - mask.sum()))


class _Cut:
    """How many of a vector are above `cut`, all in all and in each row of it.

    In pieces, so that what is written stays in the cache.
    """

    def __init__(self, flat: Tensor, cut: float) -> None:
        self.cut, row = cut, _row(flat)
        buffer, counts = torch.empty_like(flat[:PIECE]), []
        for start in range(0, len(flat), PIECE):
            piece = flat[start : start + PIECE]
            ones = torch.gt(piece, cut, out=buffer[: len(piece)])
            counts.append(ones.view(-1, row).sum(1))
        self.rows = torch.cat(counts)
        self.seen = count_ones(self.rows)


def _row(flat: Tensor) -> int:
    return ROW if len(flat) % ROW == 0 else 1


def _bracket(flat: Tensor, count: int) -> tuple[_Cut, _Cut]:
    """Two cuts: very likely the `count`-th largest is above the first and not above the other.

    A sorted sample says where to look. Then values above a guess are counted, which is cheap, and
    the next one is interpolated: a little beyond the place, as seen from the end that is farther
    from it, so that this end comes close.
    """
    sample = flat[:: len(flat) // SAMPLE].sort().values
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


def _between(flat: Tensor, low: _Cut, high: _Cut) -> Tensor:
    """Where the values above `low` and not above `high` are: `nonzero`, on the rows with any."""
    row = _row(flat)
    some = (low.rows != high.rows).nonzero()[:, 0]
    lines = flat.view(-1, row)[some]
    line, column = ((lines > low.cut) & (lines <= high.cut)).nonzero().unbind(1)
    return some[line] * row + column
