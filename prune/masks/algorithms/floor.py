"""No matrix is emptied: the smallest density a threshold may leave."""

import math

import torch
from torch import Tensor

from prune.masks.algorithms.ranking import kth_largest


def with_floor(mask: Tensor, scores: Tensor, min_density: float) -> Tensor:
    """`mask`, or if it keeps less than `min_density`, the best groups, ties included."""
    least = math.ceil(min_density * scores.numel())
    if least == 0 or int(torch.count_nonzero(mask)) >= least:
        return mask
    return scores >= kth_largest(scores.reshape(-1), least)
