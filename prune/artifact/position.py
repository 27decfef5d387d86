"""Position biases with a column for each head: layers that lose different heads need their own.

T5 computes the biases in the first layer and hands them on; here every layer gets a copy of the
table and computes its own. MPNet's come from the encoder; here every layer picks its heads' ones.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prune.artifact.units import take
from prune.masks.structure import Attention

TABLE, HEADS = "relative_attention_bias", "kept_heads"


def separate(model: nn.Module, layers: Sequence[Attention]) -> None:
    """Let every attention have position biases of its own. Again is harmless."""
    source: nn.Module | None = None
    for layer in layers:
        core = model.get_submodule(layer.core)
        if not layer.table.position or not hasattr(core, layer.query.rpartition(".")[2]):
            continue  # without heads, without biases
        if layer.table.position == "table":
            source = getattr(core, TABLE, source)
            if not hasattr(core, TABLE):
                setattr(core, TABLE, copy.deepcopy(source))
                core.has_relative_attention_bias = True  # type: ignore[assignment]
        if layer.table.position == "given" and not hasattr(core, HEADS):
            weight = getattr(core, layer.table.query).weight
            heads = torch.arange(len(weight) // layer.head_size, device=weight.device)
            core.register_buffer(HEADS, heads)
        hook = HOOKS[layer.table.position]
        if hook not in core._forward_pre_hooks.values():
            core.register_forward_pre_hook(hook, with_kwargs=True)


def keep(core: nn.Module, layer: Attention, heads: Tensor) -> None:
    """Keep the biases of the heads where `heads` (heads,) is true, in a `separate`d model."""
    if layer.table.position == "table" and not heads.all():
        table = core.get_submodule(TABLE)
        assert isinstance(table, nn.Embedding)
        table.weight = nn.Parameter(take(table.weight.detach(), heads, 1))
        table.embedding_dim = table.weight.shape[1]
    if layer.table.position == "given" and not heads.all():
        core.register_buffer(HEADS, take(core.get_buffer(HEADS), heads, 0))


def _own(core: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, {**kwargs, "position_bias": None}


def _pick(core: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    hidden_states, mask, bias, *others = args
    return (hidden_states, mask, bias[:, core.get_buffer(HEADS)], *others), kwargs


HOOKS: dict[str, Callable[..., Any]] = {"table": _own, "none": _own, "given": _pick}
