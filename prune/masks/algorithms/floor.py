"""A cut-off on the scores, and the smallest density it may leave: no matrix is emptied."""

import math

import torch
from torch import Tensor

from prune.masks.algorithms.ranking import kth_largest


def above(values: Tensor, cut: float) -> Tensor:
    """1 where a value is above `cut`, else 0, in the dtype of the values."""
    return torch.gt(values, cut, out=torch.empty_like(values))


def with_floor(mask: Tensor, scores: Tensor, min_density: float) -> Tensor:
    """`mask`, or if it keeps less than `min_density`, the best groups, ties included."""
    least = math.ceil(min_density * scores.numel())
    if least == 0 or int(torch.count_nonzero(mask)) >= least:
        return mask
    return (scores >= kth_largest(scores.reshape(-1), least)).to(scores.dtype)
