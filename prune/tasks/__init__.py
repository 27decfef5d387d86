"""Data, metric and model class of each task. `TASKS` is the registry."""

from prune.config import TaskConfig
from prune.errors import ConfigError, unknown
from prune.tasks.base import Processor, Task
from prune.tasks.glue import GLUE, GlueTask
from prune.tasks.images import ImageTask
from prune.tasks.squad import Squad
from prune.tasks.squad_v2 import SquadV2
from prune.tasks.summarization import Summarization
from prune.tasks.text import TextTask
from prune.tasks.tokens import TokenTask
from prune.tasks.toy import Toy

TASKS: dict[str, type[Task]] = {
    "toy": Toy,
    "squad": Squad,
    "squad_v2": SquadV2,
    "text": TextTask,
    "tokens": TokenTask,
    "images": ImageTask,
    "summarization": Summarization,
    **dict.fromkeys(GLUE, GlueTask),
}


def get(config: TaskConfig, processor: Processor, seed: int = 0) -> Task:
    """The task that `config` names."""
    return kind(config)(config, processor, seed)


def processor_for(config: TaskConfig, name_or_path: str | None) -> Processor:
    """What makes a model's inputs: its tokenizer or image processor; for None, the task's own."""
    return kind(config).load_processor(config, name_or_path)


def kind(config: TaskConfig) -> type[Task]:
    if config.name not in TASKS:
        raise ConfigError(unknown("task", config.name, TASKS))
    return TASKS[config.name]


__all__ = ["TASKS", "Squad", "Task", "Toy", "get", "kind", "processor_for"]
