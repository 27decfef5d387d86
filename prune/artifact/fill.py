"""Densification: what is zero inside the surviving heads costs as much as what is not, so use it.

Lagunas et al. 2021 call the result "hybrid filled": the zeros of a shrunk network are revived as
small random weights, and the network is fine-tuned once more, with the teacher and no penalty.
"""

import torch
from torch import Tensor, nn

from prune.masks import structure

SCALE = 0.01  # of the standard deviation of the matrix


def fill(model: nn.Module, seed: int = 0) -> int:
    """Revive the zeros of every prunable matrix, in place; returns how many there were.

    Each becomes N(0, 1) * 0.01 * std(W) + mean(W), over the whole matrix W as it was.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = dict(model.named_parameters())
    found = (weights.get(f"{name}.weight") for name in structure.read(model).matrices())
    return sum(_fill(weight, generator) for weight in found if weight is not None)


@torch.no_grad()
def _fill(weight: Tensor, generator: torch.Generator) -> int:
    zeros = weight == 0
    if zeros.any():
        noise = torch.randn(weight.shape, generator=generator).to(weight)
        weight.copy_(torch.where(zeros, noise * SCALE * weight.std() + weight.mean(), weight))
    return int(zeros.sum())
