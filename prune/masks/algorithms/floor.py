"""No matrix is emptied: the smallest density a threshold may leave."""

import math

import torch
from torch import Tensor

from prune.masks.algorithms.ranking import above, kth_largest


def above_with_floor(scores: Tensor, cut: float, min_density: float) -> Tensor:
    """Bytes: 1 where S > cut, or if these are fewer than `min_density`, the best, ties included."""
    least = math.ceil(min_density * scores.numel())
    mask, seen = above(scores, cut)
    if least == 0 or (seen is not None and seen >= least):
        return mask
    best = (scores >= kth_largest(scores.reshape(-1), least)).to(torch.uint8)
    # A mask that keeps enough holds them all: on a GPU to ask would be to wait.
    return torch.maximum(mask, best)
