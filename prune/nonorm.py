"""NoNorm: a layer norm without the norm (Sun et al. 2020, MobileBERT, arXiv:2004.02984)."""

from typing import final

import torch
from torch import Tensor, nn


@final
class NoNorm(nn.Module):
    """y = weight * x + bias, feature by feature; x and y are (..., features).

    weight, bias: (1, features), so that no layer norm takes them for its own (features,).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        bias = torch.zeros_like(weight) if bias is None else bias
        self.weight = nn.Parameter(weight.detach().clone().view(1, -1))
        self.bias = nn.Parameter(bias.detach().clone().view(1, -1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, x, self.weight)


def replace_norms(model: nn.Module) -> None:
    """Put a NoNorm in the place of every layer norm, with its weight and bias as they are."""
    for name, norm in norms(model):
        replace(model, name, NoNorm(norm.weight, norm.bias))


def norms(model: nn.Module) -> list[tuple[str, nn.LayerNorm]]:
    """Every layer norm with its name."""
    return [(name, m) for name, m in model.named_modules() if isinstance(m, nn.LayerNorm)]


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` in the place called `name`."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)
