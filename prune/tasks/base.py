"""What a task is: features to train on, a model class, and an official metric."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import datasets
import torch
from torch import Tensor, nn
from transformers import BertConfig, PreTrainedModel, PreTrainedTokenizerBase

from prune.config import TaskConfig
from prune.errors import ConfigError, unknown
from prune.tasks.features import features_hash
from prune.tasks.pretrained import check_labels, load_pretrained

PAD_TO = 8  # batches are padded to a multiple of this many tokens


class Task(ABC):
    """Data, metric and model class of one task.

    `train` and `eval` are data sets of tokenised features, made when first used. Each feature has
    `input_ids`, `attention_mask`, perhaps `token_type_ids`, its `index` (0 to n-1) and its
    `length` in tokens; train features have the labels too.
    """

    name: ClassVar[str]
    metric: str  # the headline, a key of what `evaluate` returns
    logit_names: ClassVar[tuple[str, ...]]  # the outputs that are distilled and compared
    model_class: ClassVar[Any]  # an AutoModelFor...

    def __init__(self, config: TaskConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.seed = seed

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
    def score(self, logits: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        """The official metrics, from one tensor of logits a feature of `eval`, in order."""

    def evaluate(
        self, model: nn.Module, batch_size: int, precision: str = "fp32"
    ) -> dict[str, float]:
        """The metrics of `model` on the whole of `eval`; its mode is left as it was."""
        was_training = model.training
        model.eval()
        found: dict[str, list[Tensor]] = {
            n: [torch.empty(0)] * len(self.eval) for n in self.logit_names
        }
        device = next(model.parameters()).device
        for batch in self.batches(self.eval, batch_size):
            rows = batch.pop("index").tolist()
            lengths = batch["attention_mask"].sum(1).tolist()
            inputs = {name: value.to(device) for name, value in batch.items()}
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
            ):
                outputs = model(**inputs)
            for name in self.logit_names:
                values = outputs[name].float().cpu()
                for row, length, value in zip(rows, lengths, values, strict=True):
                    found[name][row] = value[:length] if self.logits_follow_tokens else value
        model.train(was_training)
        return self.score(found)

    logits_follow_tokens: ClassVar[bool] = False  # one logit (vector) a token, not a sequence

    def batches(self, features: datasets.Dataset, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """All features, similar lengths together, longest first."""
        lengths = features["length"]
        order = sorted(range(len(features)), key=lambda i: -lengths[i])
        for start in range(0, len(order), batch_size):
            rows = features.select(order[start : start + batch_size])
            yield self.collate(list(rows))

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Features -> one batch (batch, longest of them), padded; labels and `index` are kept."""
        longest = max(len(f["input_ids"]) for f in features)
        width = min(-(-longest // PAD_TO) * PAD_TO, self.config.max_length)
        names = [n for n in self.tokenizer.model_input_names if n in features[0]]
        inputs = [{n: f[n] for n in names} for f in features]
        padded = self.tokenizer.pad(
            {n: [f[n] for f in inputs] for n in names},
            padding="max_length",
            max_length=width,
            return_tensors="pt",
        )
        extras = [n for n, v in features[0].items() if isinstance(v, int | float)]
        labels = {n: torch.tensor([f[n] for f in features]) for n in extras if n != "length"}
        return {**padded, **labels}

    def sample_batches(self, batch_size: int, count: int) -> list[dict[str, Tensor]]:
        """Up to `count` batches of real eval inputs, without labels."""
        features = self.eval.select(range(min(len(self.eval), batch_size * count)))
        batches = list(self.batches(features, batch_size))
        return [{n: v for n, v in batch.items() if n != "index"} for batch in batches]

    def fingerprint(self) -> str:
        """A hash of the tokenised training features, their order and their padding."""
        return features_hash(self.train)

    def new_model(self, scratch: Mapping[str, Any]) -> PreTrainedModel:
        """A fresh BERT of the architecture `scratch`, with the vocabulary of the tokenizer.

        Raises ConfigError for a key that no BERT has, and for sizes that do not fit.
        """
        known = BertConfig().to_dict()
        if wrong := [unknown("key of model.scratch", k, known) for k in scratch if k not in known]:
            raise ConfigError(wrong)
        own = {
            "vocab_size": len(self.tokenizer),
            "pad_token_id": self.tokenizer.pad_token_id,
            "max_position_embeddings": max(self.config.max_length, 64),
            **self.head,
        }
        try:
            model: PreTrainedModel = self.model_class.from_config(BertConfig(**{**own, **scratch}))
        except ValueError as error:  # sizes that do not divide
            raise ConfigError(f"model.scratch: {error}") from error
        return model

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
        kind = self.model_class.__name__.removeprefix("AutoModel")
        if kind not in type(model).__name__:
            raise ConfigError(
                f"{name} is a {type(model).__name__}: task={self.config.name} needs one {kind}"
            )
        check_labels(model.config, self.head, name)
