"""LayerNorm -> NoNorm and GELU -> ReLU: mixed during training, folded at the end.

`mix` goes from 1 (the network as it was) to 0 (the network as it will be), so at any moment the
network can be evaluated. At 0 it is exactly what `fold` leaves behind.
"""

from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerState

from prune.errors import ConfigError
from prune.masks import structure
from prune.nonorm import NoNorm, norms, replace

MOMENTUM = 0.99  # of the running moments
ACTIVATION_FIELDS = (
    "hidden_act",
    "hidden_activation",
    "activation",
    "activation_function",
    "dense_act_fn",
)


@final
class MixedNorm(nn.Module):
    """A layer norm whose moments are `mix` of the token's own and 1 - `mix` of running ones.

    x: (..., features). The running moments are two numbers for the whole layer.
    """

    running_mean: Tensor
    running_var: Tensor
    batches: Tensor

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        if norm.bias is None:  # what the mean is folded into
            self.bias = nn.Parameter(torch.zeros_like(norm.weight))
        self.mix = 1.0
        device = norm.weight.device
        self.register_buffer("running_mean", torch.zeros((), device=device))
        self.register_buffer("running_var", torch.ones((), device=device))
        self.register_buffer("batches", torch.zeros((), device=device))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.float().mean(-1, keepdim=True)
        var = x.float().var(-1, keepdim=True, unbiased=False)
        if self.training:
            self._follow(mean.detach().mean(), var.detach().mean())
        mean = self.running_mean + self.mix * (mean - self.running_mean)
        var = self.running_var + self.mix * (var - self.running_var)
        normal = ((x - mean) * torch.rsqrt(var + self.eps)).to(x.dtype)
        return normal * self.weight + self.bias

    def _follow(self, mean: Tensor, var: Tensor) -> None:
        self.batches += 1
        keep = torch.clamp(1 - 1 / self.batches, max=MOMENTUM)  # a plain average at first
        self.running_mean.lerp_(mean, 1 - keep)
        self.running_var.lerp_(var, 1 - keep)

    def folded(self) -> NoNorm:
        """The NoNorm that this is at mix 0."""
        scale = torch.rsqrt(self.running_var + self.eps)
        weight = self.weight * scale
        return NoNorm(weight, self.bias - weight * self.running_mean)


@final
class MixedActivation(nn.Module):
    """`mix` of an activation and 1 - `mix` of ReLU."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation
        self.mix = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return torch.lerp(torch.relu(x), self.activation(x), self.mix)


@dataclass
class Swaps:
    """The mixed modules of one model, by name."""

    model: nn.Module
    modules: dict[str, MixedNorm | MixedActivation] = field(default_factory=dict)

    def set_mix(self, mix: float) -> None:
        for module in self.modules.values():
            module.mix = mix

    def fold(self) -> None:
        """Leave plain NoNorm and ReLU modules in the model."""
        for name, module in self.modules.items():
            if isinstance(module, MixedNorm):
                replace(self.model, name, module.folded())
            else:
                replace(self.model, name, nn.ReLU())
                _say_relu(self.model.config)
        self.modules = {}


def _say_relu(config: Any) -> None:
    """Write the activation of the FFNs where the architecture's config has it."""
    for name in ACTIVATION_FIELDS:
        if hasattr(config, name):
            setattr(config, name, "relu")
    if hasattr(config, "feed_forward_proj"):  # T5 has both in one word
        config.feed_forward_proj = "gated-relu" if config.is_gated_act else "relu"


def install(model: nn.Module, nonorm: bool, relu: bool) -> Swaps:
    """Put mixed modules in the place of the layer norms and of the FFNs' activations.

    Raises ConfigError for a network without layer norms.
    """
    swaps = Swaps(model)
    if nonorm:
        for name, norm in norms(model):
            swaps.modules[name] = MixedNorm(norm)
        if not swaps.modules:
            raise ConfigError(
                f"swap.nonorm=true: {type(model).__name__} has no LayerNorm to swap (RMSNorm has "
                "no mean to fold); use swap.nonorm=false"
            )
    if relu:
        for ffn in structure.known(model).ffn:
            swaps.modules[ffn.activation] = MixedActivation(model.get_submodule(ffn.activation))
    for name, module in swaps.modules.items():
        replace(model, name, module)
    return swaps


@final
class Anneal(TrainerCallback):
    """Takes the mix from 1 to 0, linearly over the first `ratio` of the steps."""

    def __init__(self, swaps: Swaps, ratio: float) -> None:
        self.swaps, self.ratio = swaps, ratio

    def on_step_begin(self, args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        steps = max(1.0, self.ratio * state.max_steps)
        self.swaps.set_mix(max(0.0, 1 - state.global_step / steps))

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.swaps.set_mix(0.0)
