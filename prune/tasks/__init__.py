"""Data, metric and model class of each task. `TASKS` is the registry."""

from transformers import PreTrainedTokenizerBase

from prune.config import TaskConfig
from prune.errors import ConfigError, unknown
from prune.tasks.base import Task
from prune.tasks.glue import GLUE, GlueTask
from prune.tasks.pretrained import load_tokenizer
from prune.tasks.squad import Squad
from prune.tasks.squad_v2 import SquadV2
from prune.tasks.text import TextTask
from prune.tasks.tokens import TokenTask
from prune.tasks.toy import Toy, toy_tokenizer

TASKS: dict[str, type[Task]] = {
    "toy": Toy,
    "squad": Squad,
    "squad_v2": SquadV2,
    "text": TextTask,
    "tokens": TokenTask,
    **dict.fromkeys(GLUE, GlueTask),
}


def get(config: TaskConfig, tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> Task:
    """The task that `config` names."""
    if config.name not in TASKS:
        raise ConfigError(unknown("task", config.name, TASKS))
    return TASKS[config.name](config, tokenizer, seed)


def tokenizer_for(config: TaskConfig, name_or_path: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model; of the toy task's own, for a model from scratch."""
    if name_or_path is not None:
        return load_tokenizer(name_or_path)
    if config.name != "toy":
        raise ConfigError(f"task={config.name} needs a pretrained model: model.name_or_path=NAME")
    return toy_tokenizer()


__all__ = ["TASKS", "Squad", "Task", "Toy", "get", "tokenizer_for"]
