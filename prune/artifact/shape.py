"""What a pruned network has left, and how a plain one of its class is cut to that shape.

The outline is written into the model's config, where `prune.artifact.pretrained` reads it.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from prune.artifact import surgery, units
from prune.errors import CheckpointError
from prune.masks import structure
from prune.masks.structure import Attention, Ffn
from prune.nonorm import NoNorm, norms, replace, replace_norms

FORMAT = 1  # of prune.json, and of the outline in config.json
METHOD = "prune"
KEY = "quantization_config"  # where transformers looks for what to do before it loads weights


@dataclass(frozen=True)
class Shape:
    """Heads and FFN neurons left in each layer."""

    heads: list[int]
    widths: list[int]


@dataclass(frozen=True)
class Outline:
    """All in which a network differs from a plain one of its class and config."""

    heads: list[int]
    widths: list[int]
    output_biases: list[int] = field(default_factory=list)  # attention layers that got a bias
    outer_biases: list[int] = field(default_factory=list)  # FFN layers that got one
    swaps: list[str] = field(default_factory=list)  # "nonorm"
    fused_norms: list[int] = field(default_factory=list)  # of all norms: went into what read them


def shape_of(model: nn.Module) -> Shape:
    """The heads and widths of a dense or shrunk network."""
    found = structure.read(model)
    heads = [
        _rows(model, a.query) // a.head_size // structure.fused(a.rows, a.query)
        if structure.has(model, a)
        else 0
        for a in found.attention
    ]
    widths = [_rows(model, f.inner) // structure.fused(f.rows, f.inner) for f in found.ffn]
    return Shape(heads, widths)


def reshape(model: nn.Module, shape: Shape) -> None:
    """Give a freshly built network the heads and widths of `shape`; its weights do not matter.

    An encoder alone takes the first layers of the shape of an encoder and decoder.
    Raises CheckpointError if there is no such cut.
    """
    found, dense = structure.read(model), shape_of(model)
    for left, all_ in ((shape.heads, dense.heads), (shape.widths, dense.widths)):
        if len(left) < len(all_):
            raise CheckpointError(f"a shape of {len(left)} layers is not one of {len(all_)} layers")
        if any(not 0 <= few <= many for few, many in zip(left, all_, strict=False)):
            raise CheckpointError(f"{left} heads or neurons cannot be left of {all_}")
    groups = [
        units.first(kept // layer.group, heads // layer.group)
        for layer, kept, heads in zip(found.attention, shape.heads, dense.heads, strict=False)
    ]
    surgery.keep_heads(model, found.attention, groups)
    for ffn, kept, width in zip(found.ffn, shape.widths, dense.widths, strict=False):
        surgery.keep_neurons(model, ffn, units.first(kept, width))


def outline_of(model: PreTrainedModel) -> Outline | None:
    """How `model` differs from a plain one of its class; None if it does not."""
    with torch.device("meta"):
        plain = type(model)(copy.deepcopy(model.config))
    swaps = ["nonorm"] if any(isinstance(m, NoNorm) for m in model.modules()) else []
    found, ours, dense = structure.read(model), shape_of(model), shape_of(plain)
    outline = Outline(
        ours.heads,
        ours.widths,
        _made(model, plain, found.attention),
        _made(model, plain, found.ffn),
        swaps,
        [
            place
            for place, (name, _) in enumerate(norms(plain))
            if isinstance(model.get_submodule(name), nn.Identity)
        ],
    )
    return None if outline == Outline(dense.heads, dense.widths) else outline


def cut(model: PreTrainedModel, outline: Outline) -> None:
    """Make of a plain model, which may be on the meta device, one that `outline` describes."""
    reshape(model, Shape(outline.heads, outline.widths))
    found = structure.read(model)
    for layers, made in (
        (found.attention, outline.output_biases),
        (found.ffn, outline.outer_biases),
    ):
        for place in (p for p in made if p < len(layers)):
            module = model.get_submodule(_last(layers[place]))
            module.bias = nn.Parameter(surgery.matrix(module).detach().new_zeros(_size(module)))
    if "nonorm" in outline.swaps:
        names = [name for name, _ in norms(model)]
        replace_norms(model)
        for place in (p for p in outline.fused_norms if p < len(names)):
            replace(model, names[place], nn.Identity())


def mark(model: PreTrainedModel) -> Outline | None:
    """Write the outline of `model` into its config, so that whatever saves it saves that too.

    Raises CheckpointError for a model that is quantized: what says so is kept in the same place.
    """
    now = getattr(model.config, KEY, None)
    if now is not None and section_of(now) is None:
        raise CheckpointError("the model is quantized: shrink and save it before quantizing it")
    outline = outline_of(model)
    if outline is not None:
        setattr(model.config, KEY, section(outline))
    elif now is not None:
        delattr(model.config, KEY)
    return outline


def section(outline: Outline) -> dict[str, Any]:
    """The outline as it stands in config.json."""
    return {"quant_method": METHOD, "format": FORMAT, **asdict(outline)}


def section_of(content: Any) -> dict[str, Any] | None:
    """`content` of a config's KEY as a dict if it is an outline of ours, else None."""
    content = content if isinstance(content, Mapping) else getattr(content, "__dict__", {})
    return dict(content) if content.get("quant_method") == METHOD else None


def read_outline(content: Mapping[str, Any], where: str) -> Outline:
    """The inverse of `section`, also of prune.json. Raises CheckpointError, naming `where`."""
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"{where}: format {content.get('format')} is not {FORMAT}: update prune"
        )
    known = {f.name: content[f.name] for f in fields(Outline) if f.name in content}
    swaps = known.get("swaps", [])
    numbers = [value for name, value in known.items() if name != "swaps"]
    if (
        not {"heads", "widths"} <= known.keys()
        or not all(isinstance(v, list) and all(type(n) is int for n in v) for v in numbers)
        or not isinstance(swaps, list)
    ):
        raise CheckpointError(f"{where} cannot be read (heads and widths are lists of counts)")
    if unknown := set(swaps) - {"nonorm"}:
        raise CheckpointError(f"{where}: unknown swaps {sorted(unknown)}: update prune")
    return Outline(**known)


def _made(model: nn.Module, plain: nn.Module, layers: Sequence[Attention | Ffn]) -> list[int]:
    """The places of the layers that have a bias to fold into where a plain model has none."""
    names = [_last(layer) for layer in layers]
    return [
        place
        for place, name in enumerate(names)
        if model.get_submodule(name).bias is not None and plain.get_submodule(name).bias is None
    ]


def _last(layer: Attention | Ffn) -> str:
    return layer.output if isinstance(layer, Attention) else layer.outer


def _size(module: nn.Module) -> int:
    return surgery.matrix(module).shape[0]


def _rows(model: nn.Module, name: str) -> int:
    return surgery.matrix(model.get_submodule(name)).shape[0]
