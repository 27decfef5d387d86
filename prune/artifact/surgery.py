"""The one place that changes modules: linears lose rows or columns, layers lose all heads."""

import torch
from torch import Tensor, nn

from prune.masks.structure import Attention


class NoAttention(nn.Module):
    """An attention without heads: nothing to mix, so nothing for the output matrix to read."""

    def forward(self, hidden_states: Tensor, *_: object, **__: object) -> tuple[Tensor, None]:
        """(batch, length, hidden) -> (batch, length, 0)."""
        return hidden_states[..., :0], None


def keep_outputs(linear: nn.Linear, units: Tensor) -> None:
    """Keep the rows of `linear` where `units` (out,) is true."""
    linear.weight = nn.Parameter(linear.weight.detach()[units].clone())
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach()[units].clone())
    linear.out_features = linear.weight.shape[0]


def keep_inputs(linear: nn.Linear, units: Tensor) -> None:
    """Keep the columns of `linear` where `units` (in,) is true."""
    linear.weight = nn.Parameter(linear.weight.detach()[:, units].clone())
    linear.in_features = linear.weight.shape[1]


def remove_attention(model: nn.Module, layer: Attention) -> None:
    """Put NoAttention in place of the core; the query, key and value matrices go with it."""
    parent, _, name = layer.core.rpartition(".")
    setattr(model.get_submodule(parent), name, NoAttention())


def first(count: int, total: int) -> Tensor:
    """A mask of `total` units with the first `count` true: to give a fresh model its shape."""
    return torch.arange(total) < count
