"""Masks of units (heads, neurons) and what they take of a tensor, be it real or a meta tensor."""

import torch
from torch import Tensor


def first(count: int, total: int) -> Tensor:
    """A mask of `total` units with the first `count` true: to give a fresh model its shape."""
    return torch.arange(total, device="cpu") < count


def take(tensor: Tensor, units: Tensor, axis: int) -> Tensor:
    """The slices of `tensor` along `axis` (0 or 1) where `units` is true, as a new tensor."""
    if tensor.is_meta:  # its weights are still to be loaded
        sizes = list(tensor.shape)
        sizes[axis] = int(units.sum())
        return tensor.new_empty(sizes)
    return (tensor[units] if axis == 0 else tensor[:, units]).contiguous()
