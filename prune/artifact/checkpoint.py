"""Save a shrunk network and load it back: safetensors, config, tokenizer and `prune.json`.

Uneven heads and widths are the normal case, so `prune.json` holds them layer by layer, with a hash
of the weights. Saving reloads in memory and compares the logits before the folder appears.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prune.artifact import example, surgery
from prune.errors import CheckpointError
from prune.masks import structure
from prune.nonorm import NoNorm, replace_norms

FORMAT = 1
SHAPE_FILE, WEIGHTS_FILE = "prune.json", "model.safetensors"


@dataclass(frozen=True)
class Shape:
    """Heads and FFN neurons left in each layer."""

    heads: list[int]
    widths: list[int]


def shape_of(model: nn.Module) -> Shape:
    """The heads and widths of a dense or shrunk network."""
    found = structure.read(model)
    heads = [
        _rows(model, a.query) // a.head_size // structure.fused(a.rows)
        if structure.has(model, a)
        else 0
        for a in found.attention
    ]
    widths = [_rows(model, f.inner) // structure.fused(f.rows) for f in found.ffn]
    return Shape(heads, widths)


def reshape(model: nn.Module, shape: Shape) -> None:
    """Give a freshly built network the heads and widths of `shape`; its weights do not matter."""
    found, dense = structure.read(model), shape_of(model)
    if (len(found.attention), len(found.ffn)) != (len(shape.heads), len(shape.widths)):
        raise CheckpointError(
            f"{SHAPE_FILE} has {len(shape.heads)} layers and the model {len(found.attention)}"
        )
    groups = [
        surgery.first(kept // layer.group, heads // layer.group)
        for layer, kept, heads in zip(found.attention, shape.heads, dense.heads, strict=True)
    ]
    surgery.keep_heads(model, found.attention, groups)
    for ffn, kept, width in zip(found.ffn, shape.widths, dense.widths, strict=True):
        surgery.keep_neurons(model, ffn, surgery.first(kept, width))


def save(
    model: PreTrainedModel,
    folder: str | Path,
    tokenizer: PreTrainedTokenizerBase | None = None,
    source_run: str = "",
    card: str = "",
) -> str:
    """Write `model` to `folder` (replaced if it is there) and return the sha256 of its weights.

    Raises CheckpointError if what was written does not give the same logits back.
    """
    folder = Path(folder)
    aside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    # Names as in memory, in one file: `load` gives the tensors to the modules by their names.
    model.save_pretrained(aside, save_original_format=False, max_shard_size="1000TB")
    if tokenizer is not None:
        tokenizer.save_pretrained(aside)
    digest = file_hash(aside / WEIGHTS_FILE)
    content: dict[str, Any] = {
        "format": FORMAT,
        "class": type(model).__name__,
        **asdict(shape_of(model)),
        "swaps": ["nonorm"] if any(isinstance(m, NoNorm) for m in model.modules()) else [],
        "source_run": source_run,
        "sha256": digest,
    }
    (aside / SHAPE_FILE).write_text(json.dumps(content, indent=2) + "\n")
    if card:
        (aside / "README.md").write_text(card)
    _same_logits(model, load(aside))
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(aside, folder)
    return digest


def load(folder: str | Path) -> PreTrainedModel:
    """The network that `save` wrote, in eval mode. Nothing is unpickled and no remote code runs.

    Raises CheckpointError if the folder is not complete or its weights are not those saved.
    """
    folder = Path(folder)
    content = _read(folder)
    kind = getattr(transformers, content["class"], None)
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
        raise CheckpointError(f"{folder}: {content['class']!r} is not a model of transformers")
    if file_hash(folder / WEIGHTS_FILE) != content["sha256"]:
        raise CheckpointError(f"{folder}: the weights are not those that were saved (wrong hash)")
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    model: PreTrainedModel = kind(config)
    reshape(model, Shape(content["heads"], content["widths"]))
    if "nonorm" in content["swaps"]:
        replace_norms(model)
    weights = load_file(folder / WEIGHTS_FILE)
    _make_biases(model, weights)
    try:
        left = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: {SHAPE_FILE} does not describe the weights") from error
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    if wrong := [*left.unexpected_keys, *(set(left.missing_keys) - tied)]:
        raise CheckpointError(f"{folder}: weights missing or left over: {', '.join(wrong[:3])}")
    model.tie_weights()
    model.train(False)
    return model


def load_any(location: str | Path, otherwise: Callable[[str], PreTrainedModel]) -> PreTrainedModel:
    """`load` where `location` is a folder that `save` wrote, else what `otherwise` makes of it."""
    if (Path(location) / SHAPE_FILE).is_file():
        return load(location)
    return otherwise(str(location))


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path) -> dict[str, Any]:
    for name in (SHAPE_FILE, WEIGHTS_FILE, "config.json"):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is not a saved model: {name} is missing")
    try:
        content = json.loads((folder / SHAPE_FILE).read_text())
        version, numbers = content["format"], [*content["heads"], *content["widths"]]
        known = {key: content[key] for key in ("class", "heads", "widths", "swaps", "sha256")}
        readable = isinstance(known["class"], str) and all(isinstance(n, int) for n in numbers)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / SHAPE_FILE} cannot be read ({error})") from error
    if version != FORMAT:
        raise CheckpointError(f"{folder}: format {version} is not {FORMAT}: update prune")
    if not readable:
        raise CheckpointError(f"{folder / SHAPE_FILE} cannot be read (heads and widths are counts)")
    return known


def _rows(model: nn.Module, name: str) -> int:
    return surgery.matrix(model.get_submodule(name)).shape[0]


def _make_biases(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Where the network had no bias, shrinking may have made one to fold into."""
    found = structure.read(model)
    for name in (*(a.output for a in found.attention), *(f.outer for f in found.ffn)):
        module, bias = model.get_submodule(name), weights.get(f"{name}.bias")
        if module.bias is None and bias is not None:
            module.bias = nn.Parameter(torch.empty_like(bias))


@torch.inference_mode()
def _same_logits(model: PreTrainedModel, loaded: PreTrainedModel) -> None:
    was_training = model.training
    model.train(False)
    ours = model(**example.inputs(model))[0].cpu().float()
    theirs = loaded(**example.inputs(loaded))[0].float()
    model.train(was_training)
    if not torch.allclose(ours, theirs, rtol=0, atol=1e-4):
        raise CheckpointError("the saved model does not give the same logits back")
