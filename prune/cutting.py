"""A network, its pruner and its optimizer lose units in place, and the training goes on."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from prune.artifact import surgery
from prune.masks.narrow import Replaced, follow, sides
from prune.masks.pruner import Pruner
from prune.masks.structure import Attention, Ffn, has

WRAPPERS = ("forward", "_original_forward")  # what accelerate hangs on a model


def narrow(
    model: nn.Module,
    pruner: Pruner,
    optimizer: Optimizer,
    layers: Sequence[Attention | Ffn],
    stays: Sequence[Tensor],
) -> None:
    """Keep of each layer the units where `stays` (units,) is true; all in place.

    The optimizer goes on with the smaller parameters and what it knew of them.
    """
    pruner.restore()
    old = dict(model.named_parameters())
    moments = _moments(model, optimizer, old)
    for network in (model, *moments.values()):
        _keep(network, layers, stays)
    cut: dict[str, Any] = {}
    for layer, kept in zip(layers, stays, strict=True):
        if len(kept) and not kept.all():
            cut |= sides(layer, kept)
    scores = follow(pruner, cut)
    _hand_over(optimizer, old, model, moments)
    _hand_over_scores(optimizer, scores, pruner)


def _keep(model: nn.Module, layers: Sequence[Attention | Ffn], stays: Sequence[Tensor]) -> None:
    attention = [layer for layer in layers if isinstance(layer, Attention)]
    there = [has(model, layer) for layer in attention]
    groups = [kept if is_ else None for kept, is_ in zip(stays, there, strict=False)]
    with torch.no_grad():
        surgery.keep_heads(model, attention, groups)
        for layer, kept in zip(layers, stays, strict=True):
            if isinstance(layer, Ffn) and len(kept) and not kept.all():
                surgery.keep_neurons(model, layer, kept)


def _moments(
    model: nn.Module, optimizer: Optimizer, named: Mapping[str, nn.Parameter]
) -> dict[str, nn.Module]:
    """What the optimizer keeps of each weight, as networks of that shape: one for each kind.

    Whatever happens to the weights can then be done to those.
    """
    found: dict[str, nn.Module] = {}
    for name, weight in named.items():
        for kind, value in optimizer.state.get(weight, {}).items():
            if _is_like(value, weight):
                if kind not in found:
                    found[kind] = _copy(model)
                found[kind].get_parameter(name).data = value
    return found


def _is_like(value: Any, weight: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == weight.shape


def _copy(model: nn.Module) -> nn.Module:
    wrapped = {k: vars(model).pop(k) for k in WRAPPERS if k in vars(model)}
    try:
        return copy.deepcopy(model)
    finally:
        vars(model).update(wrapped)


def _hand_over(
    optimizer: Optimizer,
    old: Mapping[str, nn.Parameter],
    model: nn.Module,
    moments: Mapping[str, nn.Module],
) -> None:
    """Put the weights of `model` in the place of the `old` ones, with what was known of them."""
    new, names = dict(model.named_parameters()), {weight: name for name, weight in old.items()}
    steps = [state["step"] for state in optimizer.state.values() if "step" in state]

    def moment(name: str, kind: str, otherwise: Any) -> Any:
        return moments[kind].get_parameter(name).data if kind in moments else otherwise

    for group in optimizer.param_groups:
        known = [(weight, names.get(weight)) for weight in group["params"]]
        group["params"] = [new.get(n, w) if n else w for w, n in known if not n or n in new]
        for weight, name in known:
            if name and new.get(name) is not weight:
                known_of_it = optimizer.state.pop(weight, {})
                if name in new:
                    state = {kind: moment(name, kind, v) for kind, v in known_of_it.items()}
                    optimizer.state[new[name]] = state
    for name in sorted(new.keys() - old.keys()):  # a table of several layers: each got its own
        optimizer.param_groups[0]["params"].append(new[name])
        if steps:
            state = {kind: moment(name, kind, None) for kind in moments}
            optimizer.state[new[name]] = {"step": steps[0].clone(), **state}


def _hand_over_scores(
    optimizer: Optimizer, replaced: Mapping[nn.Parameter, Replaced], pruner: Pruner
) -> None:
    alive = set(pruner.scores())
    for group in optimizer.param_groups:
        ours = [(p, replaced[p].scores if p in replaced else p) for p in group["params"]]
        group["params"] = [new for old, new in ours if new is old or new in alive]
    for old, new in replaced.items():
        state = optimizer.state.pop(old, {})
        optimizer.state[new.scores] = {
            kind: new.take(value) if _is_like(value, old) else value
            for kind, value in state.items()
        }
