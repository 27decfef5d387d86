"""Masks -> a plain dense network with fewer heads and neurons, and the same logits.

Needs nothing but the weights: what is dead is zero. A head goes when its contribution is constant,
that is when its value rows or its output columns are zero (of heads that share a key and value, all
or none go); a neuron when its row or its column is. A bias that outlives its row is not dropped but
folded, through the activation, into the next bias.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prune.artifact import surgery
from prune.artifact.shape import mark
from prune.errors import ShrinkError
from prune.masks import structure
from prune.masks.structure import Attention, Ffn

Model = TypeVar("Model", bound=nn.Module)


def shrink(model: Model, round_to: int = 1) -> Model:
    """A smaller copy of a masked model, in eval mode, with equal logits.

    round_to: FFN widths are kept at a multiple of this by keeping the best dead neurons, those of
    which the largest weights are left. They add what they did in the masked model: a constant.
    What a decoder computes at left padding, where a query sees no key, may change; nothing reads
    it. Its config says what is left, so `save_pretrained` writes what `from_pretrained` needs.
    """
    small = copy.deepcopy(model).eval()
    found = structure.read(small)
    with torch.no_grad():
        kept = [_fold_heads(small, a) if structure.has(small, a) else None for a in found.attention]
        surgery.keep_heads(small, found.attention, kept)
        for ffn in found.ffn:
            surgery.keep_neurons(small, ffn, _fold_neurons(small, ffn, round_to))
    if isinstance(small, PreTrainedModel):
        mark(small)
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
            apart = torch.stack([(ours[name] - theirs[name]).abs().max() for name in names])
            differences.append(apart.max().item())  # a NaN stays one
    worst = max(differences, key=lambda d: math.inf if math.isnan(d) else d)
    if not worst <= tolerance:
        batch = batches[differences.index(worst)]
        layer = _where_they_part(masked, small, batch, tolerance)
        raise ShrinkError(
            f"the small model's logits differ by {worst:.2e} (at most {tolerance:g}); "
            f"the two part at {layer}: please report this with the run folder"
        )
    return worst


def _fold_heads(model: nn.Module, layer: Attention) -> Tensor:
    """The key and value heads to keep, (heads / group,); what the others add is folded."""
    output = model.get_submodule(layer.output)
    weight, bias = _slice(model, layer.rows, 2)
    size, group = layer.head_size, layer.group
    rows = (weight != 0).any(1).view(-1, size)
    columns = (surgery.matrix(output) != 0).any(0).view(-1, group * size)
    # Attention weights sum to 1, so a head whose value rows are zero returns its value bias.
    live = rows.any(1) & columns.any(1)
    constant = bias.view(-1, size).repeat_interleave(group, 0).view(-1)
    _fold(output, constant, ~live.repeat_interleave(group * size))
    return live


def _fold_neurons(model: nn.Module, layer: Ffn, round_to: int) -> Tensor:
    """The neurons to keep, (width,); what the others add is folded."""
    outer = model.get_submodule(layer.outer)
    activation = cast(Callable[[Tensor], Tensor], model.get_submodule(layer.activation))
    weight, bias = _slice(model, layer.rows, 0)
    dead, constant = (weight == 0).all(1), activation(bias)
    if layer.gate is not None:
        # act(gate) * inner is constant when both are, or when either is always zero.
        weight, bias = _slice(model, layer.rows, 1)
        inner_dead = (weight == 0).all(1)
        gate_is_zero, inner_is_zero = dead & (constant == 0), inner_dead & (bias == 0)
        dead, constant = (dead & inner_dead) | gate_is_zero | inner_is_zero, constant * bias
    columns = surgery.matrix(outer)
    sizes = [columns.norm(dim=0)]
    sizes += [_slice(model, layer.rows, role)[0].norm(dim=1) for role in range(len(layer.rows))]
    live = _rounded(~dead & (columns != 0).any(0), torch.stack(sizes).sum(0), round_to)
    _fold(outer, constant, ~live)
    return live


def _slice(model: nn.Module, rows: tuple[str, ...], role: int) -> tuple[Tensor, Tensor]:
    """Weight (out, in) and bias (out,) of one of the roles in `rows`; they may share a matrix."""
    module = model.get_submodule(rows[role])
    weight, bias = surgery.matrix(module), module.bias
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    place, slices = rows[:role].count(rows[role]), rows.count(rows[role])
    return weight.chunk(slices)[place], cast(Tensor, bias).chunk(slices)[place]


def _rounded(live: Tensor, size: Tensor, round_to: int) -> Tensor:
    """`live` (width,) and the largest of the dead by `size` (width,), up to a multiple."""
    missing = min(-int(live.sum()) % round_to, int((~live).sum()))
    best = size.masked_fill(live, -1).sort(descending=True, stable=True).indices
    return live.index_fill(0, best[:missing], True)


def _fold(module: nn.Module, constant: Tensor, units: Tensor) -> None:
    """Add what the inputs `units`, fixed at `constant`, contribute to the bias of `module`."""
    contribution = surgery.matrix(module)[:, units] @ constant[units]
    if module.bias is not None:
        cast(Tensor, module.bias).add_(contribution)
    elif contribution.any():
        module.bias = nn.Parameter(contribution)


def _where_they_part(
    masked: nn.Module, small: nn.Module, batch: Mapping[str, Tensor], tolerance: float
) -> str:
    found = structure.read(masked)
    names = [layer.output for layer in found.attention] + [ffn.outer for ffn in found.ffn]
    seen: list[dict[str, Tensor]] = []
    for model in (masked, small):
        outputs: dict[str, Tensor] = {}
        hooks = [
            model.get_submodule(name).register_forward_hook(_remember(outputs, name))
            for name in names
        ]
        with torch.inference_mode():
            model(**batch)
        for hook in hooks:
            hook.remove()
        seen.append(outputs)
    for name, expected in seen[0].items():
        if not (seen[1][name] - expected).abs().max() <= tolerance / 10:  # a NaN parts too
            return name
    return "the last layers"


def _remember(outputs: dict[str, Tensor], name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[name] = output

    return hook
