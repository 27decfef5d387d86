"""Save a shrunk network and load it back: safetensors, config, tokenizer and `prune.json`.

Uneven heads and widths are the normal case: config.json and `prune.json` hold them layer by layer,
with hashes of the files. Saving reloads in memory and compares the logits before the folder
appears. `from_pretrained` loads the same folders (docs/notes/loading.md).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import BaseImageProcessor, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from prune.artifact import card as cards
from prune.artifact import example, seal
from prune.artifact.seal import CONFIG_FILE, SHAPE_FILE, WEIGHTS_FILE, file_hash
from prune.artifact.shape import (
    FORMAT,
    KEY,
    Outline,
    Shape,
    mark,
    read_outline,
    reshape,
    section_of,
    shape_of,
)
from prune.artifact.shape import section as shape_section
from prune.errors import CheckpointError

__all__ = [
    "SHAPE_FILE", "WEIGHTS_FILE", "Shape", "file_hash", "load", "load_any", "reshape", "save",
    "shape_of",
]  # fmt: skip


def save(
    model: PreTrainedModel,
    folder: str | Path,
    tokenizer: PreTrainedTokenizerBase | BaseImageProcessor | None = None,
    source_run: str = "",
    card: str = "",
) -> str:
    """Write `model` to `folder` (replaced if a model is there) and return its weights' sha256.

    tokenizer: what makes the model's inputs, a tokenizer or an image processor, saved beside it.
    card: README.md, one that says how to load the model if not given.
    Raises CheckpointError if what was written does not give the same logits back, or if `folder`
    holds something else than a model.
    """
    folder = Path(folder)
    if folder.exists() and not _replaceable(folder):
        raise CheckpointError(f"{folder} is there and holds no saved model: name another folder")
    aside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    outline = mark(model) or Outline(**asdict(shape_of(model)))
    # Names as in memory, in one file.
    with _quiet():
        model.save_pretrained(aside, save_original_format=False, max_shard_size="1000TB")
    if tokenizer is not None:
        tokenizer.save_pretrained(aside)
    content = {"format": FORMAT, "class": type(model).__name__, **asdict(outline)}
    digest = seal.close(aside, {**content, "source_run": source_run})
    (aside / seal.CARD_FILE).write_text(card or cards.plain(aside, outline))
    _same_logits(model, load(aside))
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(aside, folder)
    return digest


def load(folder: str | Path, **options: Any) -> PreTrainedModel:
    """The network saved in `folder`, in eval mode. Nothing is unpickled and no remote code runs.

    options: those of `from_pretrained`, such as dtype or device_map.
    Raises CheckpointError if the folder is not complete or not as it was saved.
    """
    folder = Path(folder)
    section, content = _read(folder)
    outline = read_outline(content, str(folder / SHAPE_FILE))
    kind = getattr(transformers, str(content.get("class")), None)
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
        raise CheckpointError(f"{folder}: {content.get('class')!r} is not a model of transformers")
    if section is None:  # else `from_pretrained` does it
        seal.verify(folder)
    if section is None and "files" not in content:  # of a time when it stood in prune.json alone
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        setattr(config, KEY, shape_section(outline))
        options = {"config": config, **options}
    model = _from_pretrained(kind, folder, options)
    _agree(outline, shape_of(model), folder)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()  # aligned, and the file may be replaced
    return model


def load_any(location: str | Path, otherwise: Callable[[str], PreTrainedModel]) -> PreTrainedModel:
    """`load` where `location` is a folder that `save` wrote, else what `otherwise` makes of it."""
    if (Path(location) / SHAPE_FILE).is_file():
        return load(location, dtype=torch.float32)
    return otherwise(str(location))


def _read(folder: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The outline in config.json, if there is one, and what `prune.json` says.

    Where transformers has saved the model again the latter is made from the former.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a saved model: there is no such folder")
    section = None
    if (folder / CONFIG_FILE).is_file():
        config = seal.read_json(folder / CONFIG_FILE)
        section = section_of(config.get(KEY))
        if section is not None and "sha256" not in section:
            return section, {**section, "class": (config.get("architectures") or [None])[0]}
    for name in (SHAPE_FILE, CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            below = folder / "model"  # of a run folder
            hint = f"; did you mean {below}?" if (below / SHAPE_FILE).is_file() else ""
            raise CheckpointError(
                f"{folder} is not a model saved by prune: {name} is missing{hint}"
            )
    return section, seal.read_json(folder / SHAPE_FILE)


def _from_pretrained(kind: Any, folder: Path, options: dict[str, Any]) -> PreTrainedModel:
    """The model, with every weight of the file in its place."""
    options = {"local_files_only": True, **options, "output_loading_info": True}
    with _quiet():
        try:
            model, info = kind.from_pretrained(folder, trust_remote_code=False, **options)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{folder} cannot be loaded: {_first_line(error)}") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(map(str, info[what])):
            raise CheckpointError(f"{folder}: weights: {what}: {', '.join(names[:3])}")
    loaded: PreTrainedModel = model
    return loaded


def _agree(outline: Outline, shape: Shape, folder: Path) -> None:
    if len(outline.heads) != len(shape.heads):
        raise CheckpointError(
            f"{folder}: {SHAPE_FILE} has {len(outline.heads)} layers and the model "
            f"{len(shape.heads)}"
        )
    if (outline.heads, outline.widths) != (shape.heads, shape.widths):
        raise CheckpointError(f"{folder}: {SHAPE_FILE} does not describe the weights")


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / CONFIG_FILE).is_file() or not any(folder.iterdir()))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bar and the report of transformers: what is wrong is raised."""
    theirs: Any = logging
    bar, verbosity = theirs.is_progress_bar_enabled(), theirs.get_verbosity()
    theirs.disable_progress_bar()
    theirs.set_verbosity_error()
    try:
        yield
    finally:
        theirs.set_verbosity(verbosity)
        if bar:
            theirs.enable_progress_bar()


@torch.inference_mode()
def _same_logits(model: PreTrainedModel, loaded: PreTrainedModel) -> None:
    was_training = model.training
    model.train(False)
    ours = model(**example.inputs(model))[0].cpu().float()
    theirs = loaded(**example.inputs(loaded))[0].float()
    model.train(was_training)
    if not torch.allclose(ours, theirs, rtol=0, atol=1e-4):
        raise CheckpointError("the saved model does not give the same logits back")
