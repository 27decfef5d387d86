"""The one place that changes modules: layers lose heads and neurons, or all of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, EncoderDecoderCache
from transformers.pytorch_utils import Conv1D

from prune.artifact import position
from prune.artifact.units import take
from prune.masks import layout
from prune.masks.structure import Attention, Ffn


class NoAttention(nn.Module):
    """An attention without heads: what is left is the bias of its output matrix.

    It holds the output matrix, and a norm that adds the residual, where the architecture's
    attention does; else it returns the nothing that an output matrix outside of it reads.
    """

    def __init__(self, core: nn.Module, layer: Attention) -> None:
        super().__init__()
        table = layer.table
        self.inside = table.output if layer.output == f"{layer.core}.{table.output}" else ""
        self.norm = table.norm
        self.results = table.results
        self.layer_index: int | None = getattr(core, "layer_idx", None)
        for name in filter(None, (self.inside, self.norm)):
            self.add_module(name, core.get_submodule(name))

    def forward(self, hidden_states: Tensor, *_: object, **others: Any) -> tuple[Any, ...]:
        """(batch, length, hidden) -> (batch, length, hidden or 0), and None for the rest."""
        if all(others.get(name) is None for name in ("key_value_states", "encoder_hidden_states")):
            self._keep_count(hidden_states, others.get("past_key_values"))
        left = hidden_states[..., :0]
        if self.inside:
            left = self.get_submodule(self.inside)(left)
        if self.norm:
            left = self.get_submodule(self.norm)(hidden_states + left)
        return left, *[None] * (self.results - 1)

    def _keep_count(self, hidden_states: Tensor, cache: Cache | None) -> None:
        # Generation asks the cache of the first self-attention how many tokens there were.
        if cache is None or self.layer_index is None:
            return
        if isinstance(cache, EncoderDecoderCache):
            cache = cache.self_attention_cache
        nothing = hidden_states.new_zeros(hidden_states.shape[0], 1, hidden_states.shape[1], 1)
        cache.update(nothing, nothing, self.layer_index)


def keep_heads(
    model: nn.Module, layers: Sequence[Attention], groups: Sequence[Tensor | None]
) -> None:
    """Keep in each layer the key and value heads, with their queries, where `groups` is true.

    groups: one boolean (key and value heads,) a layer; None for a layer that lost all before.
    """
    if any(kept is not None and not kept.all() for kept in groups):
        position.separate(model, layers)
    for layer, kept in zip(layers, groups, strict=True):
        if kept is not None:
            _keep_heads(model, layer, kept)


def keep_neurons(model: nn.Module, layer: Ffn, units: Tensor) -> None:
    """Keep the neurons where `units` (width,) is true."""
    for name in dict.fromkeys(layer.rows):
        _keep_outputs(model, name, torch.cat([units] * layer.rows.count(name)))
    _keep_inputs(model, layer.outer, units)


def matrix(module: nn.Module) -> Tensor:
    """The weight of a Linear or Conv1D as an (out, in) view."""
    assert isinstance(module.weight, Tensor)
    return layout.matrix(module, module.weight)


def _keep_heads(model: nn.Module, layer: Attention, kept: Tensor) -> None:
    heads = kept.repeat_interleave(layer.group)
    units = heads.repeat_interleave(layer.head_size)
    narrow = kept.repeat_interleave(layer.head_size)
    rows: dict[str, list[Tensor]] = {}
    for name, mask in zip(layer.rows, (units, narrow, narrow), strict=True):
        rows.setdefault(name, []).append(mask)
    names = dict(model.named_modules())
    rows |= {name: [units] for name in layer.followers if name in names}
    for name, masks in rows.items():
        _keep_outputs(model, name, torch.cat(masks))
    _keep_inputs(model, layer.output, units)
    core = model.get_submodule(layer.core)
    if not kept.any():
        _replace(model, layer.core, NoAttention(core, layer))
        return
    position.keep(core, layer, heads)
    for name in layer.table.head_counts:
        setattr(core, name, int(heads.sum()))
    for name in layer.table.unit_counts:
        setattr(core, name, int(units.sum()))


def _keep_outputs(model: nn.Module, name: str, units: Tensor) -> None:
    module = model.get_submodule(name)
    _set_weight(module, take(matrix(module).detach(), units, 0))
    if module.bias is not None:
        assert isinstance(module.bias, nn.Parameter)
        module.bias = nn.Parameter(take(module.bias.detach(), units, 0))


def _keep_inputs(model: nn.Module, name: str, units: Tensor) -> None:
    module = model.get_submodule(name)
    if isinstance(module, Conv1D) and not units.any():
        module = _as_linear(module)  # Conv1D cannot read nothing
        _replace(model, name, module)
    _set_weight(module, take(matrix(module).detach(), units, 1))


def _set_weight(module: nn.Module, weight: Tensor) -> None:
    rows, columns = weight.shape
    if isinstance(module, Conv1D):
        module.weight = nn.Parameter(weight.T.contiguous())
        module.nf, module.nx = rows, columns
    else:
        module.weight = nn.Parameter(weight.contiguous())
        module.out_features, module.in_features = rows, columns  # type: ignore[assignment]


def _as_linear(module: Conv1D) -> nn.Linear:
    linear = nn.Linear(1, 1)
    linear.weight = nn.Parameter(matrix(module).detach())
    linear.bias = module.bias
    return linear


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)
