"""Where a module keeps its weights: any prunable module's weight as an (out, in) matrix.

The one place that knows layouts. `nn.Linear` stores (out, in), the `Conv1D` of transformers
(in, out), and `nn.Conv2d` (out, in, height, width), seen here as (out, in * height * width).
"""

from typing import cast

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from prune.errors import PolicyError


def prunable(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | Conv1D | nn.Conv2d)


def matrix(module: nn.Module, weight: Tensor) -> Tensor:
    """`weight` (or its gradient) of a prunable module as an (out, in) view."""
    if isinstance(module, Conv1D):
        return weight.T
    return weight.view(weight.shape[0], -1) if weight.ndim > 2 else weight


def shape_of(name: str, module: nn.Module) -> tuple[int, int]:
    """(out, in) of the matrix. Raises PolicyError for weights that have no such view."""
    weight = cast(Tensor, module.weight)
    if not weight.is_contiguous():
        raise PolicyError(
            f"the weights of {name} are not contiguous: "
            "call model.to(memory_format=torch.contiguous_format) before pruning"
        )
    rows, columns = matrix(module, weight).shape
    return rows, columns


def columns_per_input(module: nn.Module) -> int:
    """How many columns of the matrix one input feature (a channel of a convolution) has."""
    weight = cast(Tensor, module.weight)
    return weight[0, 0].numel() if weight.ndim > 2 else 1
