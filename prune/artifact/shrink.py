"""Masks -> a plain dense network with fewer heads and neurons, and the same logits.

Needs nothing but the weights: what is dead is zero. A head goes when its contribution is constant,
that is when its value rows or its output columns are zero; a neuron when its row or its column is.
A bias that outlives its row is not dropped but folded, through the activation, into the next bias.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from prune.artifact.surgery import keep_inputs, keep_outputs, remove_attention
from prune.errors import ShrinkError
from prune.masks import structure
from prune.masks.structure import Attention, Ffn

Model = TypeVar("Model", bound=nn.Module)


def shrink(model: Model, round_to: int = 1) -> Model:
    """A smaller copy of a masked model, in eval mode, with equal logits.

    round_to: FFN widths are kept at a multiple of this by keeping dead neurons, which are zero.
    """
    small = copy.deepcopy(model).eval()
    found = structure.read(small)
    with torch.no_grad():
        for attention in found.attention:
            if structure.has_heads(small, attention):
                _shrink_attention(small, attention)
        for ffn in found.ffn:
            _shrink_ffn(small, ffn, round_to)
    return small


def check(
    masked: nn.Module,
    small: nn.Module,
    batches: Sequence[Mapping[str, Tensor]],
    names: Sequence[str],
    tolerance: float = 1e-4,
) -> float:
    """The largest difference of the logits `names` on `batches` (fp32).

    Raises ShrinkError, with the layer where the two part, if it is above `tolerance`.
    """
    masked.eval(), small.eval()
    differences = []
    with torch.inference_mode():
        for batch in batches:
            ours, theirs = small(**batch), masked(**batch)
            differences += [(ours[name] - theirs[name]).abs().max() for name in names]
    worst = torch.stack(differences).max().item()  # a NaN stays one
    if not worst <= tolerance:
        layer = _where_they_part(masked, small, batches[0], tolerance)
        raise ShrinkError(
            f"the small model's logits differ by {worst:.2e} (at most {tolerance:g}); "
            f"the two part at {layer}: please report this with the run folder"
        )
    return worst


def _shrink_attention(model: nn.Module, layer: Attention) -> None:
    linears = [cast(nn.Linear, model.get_submodule(n)) for n in (layer.query, layer.key)]
    value = cast(nn.Linear, model.get_submodule(layer.value))
    output = cast(nn.Linear, model.get_submodule(layer.output))
    size = layer.head_size
    rows = (value.weight != 0).any(1).view(-1, size)
    columns = (output.weight != 0).any(0).view(-1, size)
    # Attention weights sum to 1, so a head whose value rows are zero returns its value bias.
    live = rows.any(1) & columns.any(1)
    units = live.repeat_interleave(size)
    if value.bias is not None:
        _fold(output, value.bias, ~units)
    for linear in (*linears, value):
        keep_outputs(linear, units)
    keep_inputs(output, units)
    if not live.any():
        remove_attention(model, layer)


def _shrink_ffn(model: nn.Module, layer: Ffn, round_to: int) -> None:
    inner = cast(nn.Linear, model.get_submodule(layer.inner))
    outer = cast(nn.Linear, model.get_submodule(layer.outer))
    activation = cast(Callable[[Tensor], Tensor], model.get_submodule(layer.activation))
    live = (inner.weight != 0).any(1) & (outer.weight != 0).any(0)
    live = _rounded(live, round_to)
    bias = inner.bias if inner.bias is not None else torch.zeros_like(inner.weight[:, 0])
    _fold(outer, activation(bias), ~live)
    keep_outputs(inner, live)
    keep_inputs(outer, live)


def _rounded(live: Tensor, round_to: int) -> Tensor:
    missing = min(-int(live.sum()) % round_to, int((~live).sum()))
    live = live.clone()
    live[(~live).nonzero()[:missing, 0]] = True
    return live


def _fold(linear: nn.Linear, constant: Tensor, units: Tensor) -> None:
    """Add what the inputs `units`, fixed at `constant`, contribute to the bias of `linear`."""
    contribution = linear.weight[:, units] @ constant[units]
    if linear.bias is not None:
        linear.bias.add_(contribution)
    elif contribution.any():
        linear.bias = nn.Parameter(contribution)


def _where_they_part(
    masked: nn.Module, small: nn.Module, batch: Mapping[str, Tensor], tolerance: float
) -> str:
    seen: list[dict[str, Tensor]] = []
    for model in (masked, small):
        outputs: dict[str, Tensor] = {}
        hooks = [
            module.register_forward_hook(_remember(outputs, layer.output))
            for layer in structure.read(model).attention
            if (module := model.get_submodule(layer.output))
        ]
        hooks += [
            model.get_submodule(ffn.outer).register_forward_hook(_remember(outputs, ffn.outer))
            for ffn in structure.read(model).ffn
        ]
        with torch.inference_mode():
            model(**batch)
        for hook in hooks:
            hook.remove()
        seen.append(outputs)
    for name, expected in seen[0].items():
        if (seen[1][name] - expected).abs().max() > tolerance / 10:
            return name
    return "the last layers"


def _remember(outputs: dict[str, Tensor], name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[name] = output

    return hook
