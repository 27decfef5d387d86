"""What a task is: features to train on, a model class, and an official metric."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import datasets
import torch
from torch import Tensor, nn
from transformers import (
    BaseImageProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from prune.config import TaskConfig
from prune.errors import ConfigError, unknown
from prune.tasks.features import features_hash
from prune.tasks.pretrained import check_labels, load_pretrained

Processor = PreTrainedTokenizerBase | BaseImageProcessor


class Task(ABC):
    """Data, metric and model class of one task.

    `train` and `eval` are data sets of features, made when first used. `collate` makes what a model
    reads of them, with the `processor` (a tokenizer, or what resizes pictures) that is saved with
    the model. Each feature has its `index` (0 to n-1) and its `length` (features of similar length
    share a batch); train features have the labels too.
    """

    name: ClassVar[str]
    metric: str  # the headline, a key of what `evaluate` returns
    logit_names: ClassVar[tuple[str, ...]]  # the outputs that are distilled and compared
    logits_follow_tokens: ClassVar[bool] = False  # one logit (vector) a token, not a sequence
    caches_logits: ClassVar[bool] = True  # whether a teacher's are small enough to be kept
    model_class: ClassVar[Any]  # an AutoModelFor...
    class_name: ClassVar[str] = ""  # what its models are called, if not after it

    def __init__(self, config: TaskConfig, processor: Processor, seed: int) -> None:
        self.config = config
        self.processor = processor
        self.seed = seed

    @classmethod
    @abstractmethod
    def load_processor(cls, config: TaskConfig, name_or_path: str | None) -> Processor:
        """The processor of a model; None: of one from scratch.

        Raises MissingInputError; ConfigError where the task needs a pretrained model.
        """

    @property
    def head(self) -> Mapping[str, Any]:
        """What the config of a model says about the head of this task: its labels."""
        return {}

    def logits_shape(self) -> tuple[int, ...]:
        """Of one example's logits, as long as they can be."""
        return (self.config.max_length,)

    @cached_property
    @abstractmethod
    def train(self) -> datasets.Dataset: ...

    @cached_property
    @abstractmethod
    def eval(self) -> datasets.Dataset: ...

    @abstractmethod
    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Features -> one batch of model inputs; labels and `index` are kept."""

    @abstractmethod
    def score(self, outputs: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        """The official metrics, from what `answer` gave of each feature of `eval`, in order."""

    def evaluate(
        self, model: nn.Module, batch_size: int, precision: str = "fp32"
    ) -> dict[str, float]:
        """The metrics of `model` on the whole of `eval`; its mode is left as it was."""
        was_training = model.training
        model.eval()
        found: dict[str, list[Tensor]] = {}
        device = next(model.parameters()).device
        for batch in self.batches(self.eval, batch_size):
            rows = batch.pop("index").tolist()
            inputs = {name: value.to(device) for name, value in batch.items()}
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
            ):
                answers = self.answer(model, inputs)
            for name, values in answers.items():
                column = found.setdefault(name, [torch.empty(0)] * len(self.eval))
                for row, value in zip(rows, values, strict=True):
                    column[row] = value
        model.train(was_training)
        return self.score(found)

    def answer(self, model: Any, batch: Mapping[str, Tensor]) -> dict[str, list[Tensor]]:
        """What `score` needs of each example of a batch: its logits, without those of padding."""
        outputs = model(**batch)
        found = {name: list(outputs[name].float().cpu()) for name in self.logit_names}
        if self.logits_follow_tokens:
            lengths = batch["attention_mask"].sum(1).tolist()
            for name, values in found.items():
                found[name] = [v[:length] for v, length in zip(values, lengths, strict=True)]
        return found

    def batches(self, features: datasets.Dataset, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """All features, similar lengths together, longest first."""
        lengths = features["length"]
        order = sorted(range(len(features)), key=lambda i: -lengths[i])
        for start in range(0, len(order), batch_size):
            rows = features.select(order[start : start + batch_size])
            yield self.collate(list(rows))

    def sample_batches(self, batch_size: int, count: int) -> list[dict[str, Tensor]]:
        """Up to `count` batches of real eval inputs, without labels."""
        features = self.eval.select(range(min(len(self.eval), batch_size * count)))
        batches = list(self.batches(features, batch_size))
        return [
            {n: v for n, v in batch.items() if n not in ("index", "labels")} for batch in batches
        ]

    def fingerprint(self) -> str:
        """A hash of the training features, their order and their padding."""
        return features_hash(self.train)

    def new_model(self, scratch: Mapping[str, Any]) -> PreTrainedModel:
        """A fresh model of the architecture `scratch`.

        Raises ConfigError for a key that the architecture does not have, or sizes that do not fit.
        """
        kind, own = self.fresh()
        known = kind().to_dict()
        if wrong := [unknown("key of model.scratch", k, known) for k in scratch if k not in known]:
            raise ConfigError(wrong)
        try:
            network = kind(**{**own, **self.head, **scratch})
            model: PreTrainedModel = self.model_class.from_config(network)
        except ValueError as error:  # sizes that do not divide
            raise ConfigError(f"model.scratch: {error}") from error
        self.check(model, "model.scratch")
        return model

    def fresh(self) -> tuple[type[PreTrainedConfig], dict[str, Any]]:
        """The config class of a model from scratch, and what the data says about its sizes."""
        raise ConfigError(f"task={self.config.name} needs a model: model.name_or_path=NAME")

    def load_model(self, name_or_path: str) -> PreTrainedModel:
        """A pretrained model with a head for this task, a new one where it has none.

        Raises MissingInputError; ConfigError if it has the task's labels in another order.
        """
        return load_pretrained(self.model_class, name_or_path, self.head)

    def load_teacher(self, name_or_path: str) -> PreTrainedModel:
        """The same, but the head must be there: ConfigError for one that would be new."""
        return load_pretrained(self.model_class, name_or_path, self.head, new_head=False)

    def check(self, model: PreTrainedModel, name: str) -> None:
        """Raises ConfigError if `model`, called `name`, is of another task."""
        kind = self.class_name or self.model_class.__name__.removeprefix("AutoModel")
        if kind not in type(model).__name__:
            raise ConfigError(
                f"{name} is a {type(model).__name__}: task={self.config.name} needs one {kind}"
            )
        check_labels(model.config, self.head, name)

    @abstractmethod
    def check_length(self, model: PreTrainedModel, key: str, length: int) -> None:
        """Raises ConfigError for a `length`, that `key` of a run asks for, no input can have."""

    @abstractmethod
    def check_teacher(self, teacher: PreTrainedModel, model: PreTrainedModel, name: str) -> None:
        """Raises ConfigError for a teacher, called `name`, that reads other inputs than `model`."""
