"""No matrix is emptied: the smallest density a threshold may leave."""

import math

import torch
from torch import Tensor

from prune.masks.algorithms.ranking import count_ones, kth_largest


def with_floor(mask: Tensor, scores: Tensor, min_density: float) -> Tensor:
    """`mask`, or if it keeps less than `min_density`, the best groups, ties included."""
    least = math.ceil(min_density * scores.numel())
    if least == 0 or (not mask.is_cuda and count_ones(mask) >= least):
        return mask
    best = (scores >= kth_largest(scores.reshape(-1), least)).to(torch.uint8)
    # A mask that keeps enough holds them all: on a GPU to ask would be to wait.
    return torch.maximum(mask, best)
