"""No matrix is emptied: the smallest density a threshold may leave."""

import math

from torch import Tensor

from prune.masks.algorithms.ranking import count_ones, kth_largest


def with_floor(mask: Tensor, scores: Tensor, min_density: float) -> Tensor:
    """`mask`, or if it keeps less than `min_density`, the best groups, ties included."""
    least = math.ceil(min_density * scores.numel())
    if least == 0 or count_ones(mask) >= least:
        return mask
    return (scores >= kth_largest(scores.reshape(-1), least)).to(scores.dtype)
