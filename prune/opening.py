"""A run, or a folder with a model: the network, its evidence, its task, the dense one."""

import copy
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from transformers import PreTrainedModel

from prune import tasks
from prune.artifact import checkpoint
from prune.artifact.shape import KEY, section_of
from prune.config import MeasureConfig, RunConfig, TaskConfig, TrainConfig
from prune.errors import CheckpointError, ConfigError, MissingInputError
from prune.records import Point, Record
from prune.sources import located
from prune.store import Store
from prune.tasks.base import Processor, Task
from prune.tasks.pretrained import load_tokenizer

LENGTH = 128  # tokens, where no run says


@dataclass(frozen=True)
class Opened:
    """`name`: run id or folder. `record` and `point`: of the run it is from, where it is of one."""

    name: str
    folder: Path
    model: PreTrainedModel
    record: Record | None
    point: Point | None

    @property
    def config(self) -> RunConfig:
        """What its run was asked, as far as this concerns its task and measuring; else defaults."""
        known: dict[str, Any] = {"measure": {"grid": self._grid()}}
        known = self.record.config if self.record else known
        return RunConfig(
            seed=known.get("seed", 0),
            task=_part(TaskConfig, known.get("task")),
            measure=_part(MeasureConfig, known.get("measure")),
            train=_part(TrainConfig, known.get("train")),
        )

    def _grid(self) -> list[list[int]]:
        config = self.model.config
        side = getattr(config, "image_size", 0)
        most = getattr(config, "max_position_embeddings", None) or LENGTH
        length = side if isinstance(side, int) and side else min(LENGTH, most)
        return [[32, length], [1, length]]

    def task(self) -> Task | None:
        """The task of its run, with its data; None without a run."""
        if self.record is None:
            return None
        config = self.config
        found = tasks.get(
            config.task, tasks.processor_for(config.task, str(self.folder)), config.seed
        )
        found.check(self.model, self.name)
        return found

    def processor(self) -> Processor | None:
        """What lies beside the model to make its inputs; None where nothing does."""
        if self.record is not None:
            return tasks.processor_for(self.config.task, str(self.folder))
        try:
            return load_tokenizer(str(self.folder))
        except MissingInputError:
            return None


def opened(name: str, store: Store | None) -> Opened:
    """The model of a run (an id, or its folder), or of any folder.

    Raises MissingInputError for what is not there, CheckpointError for a folder that was changed
    or is of another format, StoreError for an unknown run.
    """
    source = located(name, store)
    folder = Path(source.location or "")
    if not folder.is_dir():
        raise MissingInputError(f"there is no run and no folder {name!r} (see: prune runs ls)")
    model = checkpoint.load_any(folder, _of_transformers)
    title = source.record.run_id if source.record else folder.resolve().name
    return Opened(title, folder, model, source.record, source.point)


def dense_of(model: PreTrainedModel) -> PreTrainedModel:
    """The network before anything was cut: the same config, fresh weights; its time is the same."""
    config = copy.deepcopy(model.config)
    if section_of(getattr(config, KEY, None)) is not None:
        delattr(config, KEY)
    made: Any = type(model)(config)
    dense: PreTrainedModel = made.to(model.device, model.dtype).eval()
    return dense


def check_same_kind(ours: Opened, others: Opened) -> None:
    """Raises ConfigError if two models have heads of different tasks."""
    kinds = [type(o.model).__name__ for o in (ours, others)]
    heads = [kind.rpartition("For")[2] if "For" in kind else "" for kind in kinds]
    if heads[0] != heads[1]:
        raise ConfigError(
            f"{ours.name} is a {kinds[0]} and {others.name} a {kinds[1]}: models of one task can "
            "be compared"
        )


def _of_transformers(location: str) -> PreTrainedModel:
    """An ordinary folder of `save_pretrained`, by the class that its config names."""
    file = Path(location) / "config.json"
    if not file.is_file():
        raise MissingInputError(f"{location} holds no model: config.json is missing")
    try:
        names = json.loads(file.read_text()).get("architectures") or [""]
        kind = getattr(transformers, str(names[0]), None)
        if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
            raise CheckpointError(f"{file}: architectures={names} is no model of transformers")
        loaded: PreTrainedModel = kind.from_pretrained(
            location, dtype="float32", local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{location} cannot be loaded: {first}") from error
    return loaded.eval()  # type: ignore[no-untyped-call, no-any-return]


def _part(kind: Any, content: Any) -> Any:
    """A section of a recorded config; keys of another version of prune are left out."""
    names = {item.name for item in dataclasses.fields(kind)}
    return kind(**{k: v for k, v in (content or {}).items() if k in names})
