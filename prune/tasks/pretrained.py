"""Pretrained models and tokenizers from a folder or the hub, with errors that say what to do."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from prune.errors import ConfigError, MissingInputError
from prune.tasks import hub

Loaded = TypeVar("Loaded")

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")
IMAGE_PROCESSOR_FILE = "preprocessor_config.json"


def load_pretrained(
    model_class: Any, name_or_path: str, head: Mapping[str, Any], new_head: bool = True
) -> PreTrainedModel:
    """`model_class.from_pretrained`, in fp32, with the labels of `head` in its config.

    A head that is missing, or of another size, is a fresh one if `new_head`, else a ConfigError.
    Raises MissingInputError too.
    """
    config = load_config(name_or_path)
    if config.num_labels == head.get("num_labels"):
        check_labels(config, head, name_or_path)
    model: PreTrainedModel
    model, info = _loading(
        name_or_path,
        "model",
        lambda: model_class.from_pretrained(
            name_or_path,
            dtype="float32",
            trust_remote_code=False,
            ignore_mismatched_sizes=bool(head),
            output_loading_info=True,
            **head,
        ),
    )
    made = [*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])]
    made = [key for key in made if not key.startswith(model.base_model_prefix + ".")]
    if made and not new_head:
        raise ConfigError(
            f"{name_or_path} cannot be a teacher: its {made[0].rpartition('.')[0]} for this task "
            "is not trained; name a fine-tuned model, or use teacher=dense or teacher=none"
        )
    return model


def load_config(name_or_path: str) -> PreTrainedConfig:
    """The config of a model. Raises MissingInputError."""
    _check_folder(name_or_path, "config.json")
    config: PreTrainedConfig = _loading(
        name_or_path,
        "model",
        lambda: AutoConfig.from_pretrained(name_or_path, trust_remote_code=False),
    )
    return config


def check_labels(config: PreTrainedConfig, head: Mapping[str, Any], name: str) -> None:
    """Raises ConfigError for other labels than those of `head`, or for another order of them.

    A model that does not name its labels (LABEL_0 ...) is taken to have the task's order.
    """
    if not head:
        return
    if config.num_labels != head["num_labels"]:
        raise ConfigError(
            f"{name} has a head for {config.num_labels} labels, the task has {head['num_labels']}"
        )
    wanted = [str(label).lower() for label in head.get("id2label", {}).values()]
    known: Mapping[Any, str] = config.id2label or {}
    theirs = [str(known.get(i)).lower() for i in range(len(wanted))]
    if theirs != wanted and sorted(theirs) == sorted(wanted):
        raise ConfigError(
            f"{name} has the labels in the order {', '.join(theirs)}, and this task's is "
            f"{', '.join(wanted)}: its logits would be mixed up; use another model"
        )


def load_tokenizer(name_or_path: str) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a model. Raises MissingInputError."""
    _check_folder(name_or_path, *TOKENIZER_FILES)
    tokenizer: PreTrainedTokenizerBase = _loading(
        name_or_path,
        "tokenizer",
        lambda: AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False),
    )
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # made up from config.json alone
        raise MissingInputError(f"{name_or_path} has no tokenizer: its vocabulary is missing")
    return tokenizer


def load_image_processor(name_or_path: str) -> BaseImageProcessor | None:
    """What makes a model's inputs of pictures, with Pillow; None if it comes with no such thing.

    Raises MissingInputError if what it comes with cannot be read.
    """

    def load() -> BaseImageProcessor:
        kind: Any = AutoImageProcessor
        found: BaseImageProcessor = kind.from_pretrained(
            name_or_path, backend="pil", trust_remote_code=False
        )
        return found

    if (Path(name_or_path) / IMAGE_PROCESSOR_FILE).is_file():
        return _loading(name_or_path, "image processor", load)
    try:
        return load()
    except (OSError, ValueError):  # the hub has no such file, or knows no class for the model
        return None


def _check_folder(name_or_path: str, *files: str) -> None:
    """One of `files` must be in the folder, if it is a folder."""
    folder = Path(name_or_path)
    looks_local = folder.is_absolute() or name_or_path.startswith((".", "~"))
    if folder.is_dir() and not any((folder / file).is_file() for file in files):
        raise MissingInputError(
            f"{name_or_path} is not a model folder: {' or '.join(files)} is missing"
        )
    if looks_local and not folder.is_dir():
        raise MissingInputError(f"there is no model folder {name_or_path}")
    if not folder.is_dir():
        hub.look()


def _loading(name: str, what: str, load: Callable[[], Loaded]) -> Loaded:
    try:
        return load()
    except (OSError, ValueError, SafetensorError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        if Path(name).is_dir():
            raise MissingInputError(f"the {what} in {name} cannot be read: {first}") from error
        raise MissingInputError(
            f"the {what} {name!r} is not here and cannot be fetched: give a local copy with "
            f"model.name_or_path=FOLDER (or teacher.name_or_path=FOLDER) ({first})"
        ) from error
