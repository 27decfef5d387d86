"""Pretrained models and tokenizers from a folder or the hub, with errors that say what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from prune.errors import MissingInputError

Loaded = TypeVar("Loaded")


def load_pretrained(model_class: Any, name_or_path: str) -> PreTrainedModel:
    """`model_class.from_pretrained`, in fp32. Raises MissingInputError."""
    _check_folder(name_or_path, "config.json")
    model: PreTrainedModel = _loading(
        name_or_path,
        "model",
        lambda: model_class.from_pretrained(name_or_path, dtype="float32", trust_remote_code=False),
    )
    return model


def load_tokenizer(name_or_path: str) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a model. Raises MissingInputError."""
    _check_folder(name_or_path, "tokenizer_config.json")
    tokenizer: PreTrainedTokenizerBase = _loading(
        name_or_path,
        "tokenizer",
        lambda: AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False),
    )
    return tokenizer


def _check_folder(name_or_path: str, file: str) -> None:
    folder = Path(name_or_path)
    looks_local = folder.is_absolute() or name_or_path.startswith((".", "~"))
    if folder.is_dir() and not (folder / file).is_file():
        raise MissingInputError(f"{name_or_path} is not a model folder: {file} is missing")
    if looks_local and not folder.is_dir():
        raise MissingInputError(f"there is no model folder {name_or_path}")


def _loading(name: str, what: str, load: Callable[[], Loaded]) -> Loaded:
    try:
        return load()
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise MissingInputError(
            f"the {what} {name!r} is not here and cannot be fetched: give a local copy with "
            f"model.name_or_path=FOLDER (or teacher.name_or_path=FOLDER)\n{first}"
        ) from error
