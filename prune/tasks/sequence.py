"""Tasks that give a whole text, or a pair of texts, one label or one number."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import datasets
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from prune.tasks import metrics
from prune.tasks.files import sample
from prune.tasks.language import LanguageTask


@dataclass(frozen=True)
class Example:
    """One or two texts, and the number of their class (or their score)."""

    texts: tuple[str, ...]
    label: float


class SequenceTask(LanguageTask):
    """One label a text. `labels` is empty for a regression, whose only logit is the score."""

    logit_names: ClassVar[tuple[str, ...]] = ("logits",)
    model_class: ClassVar[Any] = AutoModelForSequenceClassification

    metric_names: Sequence[str]

    @abstractmethod
    def read(self, split: str) -> dict[str, list[Example]]:
        """All examples of `train` or `eval`, by what the names of their metrics end in.

        More than one entry is for an eval split whose parts are scored apart.
        """

    @property
    @abstractmethod
    def labels(self) -> Sequence[str]:
        """The names of the classes, in the order of the logits."""

    @cached_property
    def train(self) -> datasets.Dataset:
        examples = self._sampled("train", self.config.max_train_samples)[""]
        kind = int if self.labels else float
        return self._features(examples).add_column("labels", [kind(e.label) for e in examples])

    @cached_property
    def eval_parts(self) -> dict[str, list[Example]]:
        return self._sampled("eval", self.config.max_eval_samples)

    @cached_property
    def eval(self) -> datasets.Dataset:
        return self._features([e for part in self.eval_parts.values() for e in part])

    def _sampled(self, split: str, count: int | None) -> dict[str, list[Example]]:
        seed = self.config.data_seed
        return {part: sample(found, count, seed) for part, found in self.read(split).items()}

    def _features(self, examples: Sequence[Example]) -> datasets.Dataset:
        texts = [list(texts) for texts in zip(*(e.texts for e in examples), strict=True)]
        encoded = self.tokenizer(*texts, truncation=True, max_length=self.config.max_length)
        columns = {n: encoded[n] for n in self.tokenizer.model_input_names if n in encoded}
        columns["index"] = list(range(len(examples)))
        columns["length"] = [len(ids) for ids in encoded["input_ids"]]
        return datasets.Dataset.from_dict(columns)

    def score(self, outputs: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        given = [float(row.argmax() if self.labels else row.squeeze()) for row in outputs["logits"]]
        found: dict[str, float] = {}
        for suffix, examples in self.eval_parts.items():
            predictions, given = given[: len(examples)], given[len(examples) :]
            values = metrics.score(self.metric_names, predictions, [e.label for e in examples])
            found |= {name + suffix: value for name, value in values.items()}
        return found

    @property
    def head(self) -> Mapping[str, Any]:
        if not self.labels:
            return {"num_labels": 1, "problem_type": "regression"}
        return label_settings(self.labels) | {"problem_type": "single_label_classification"}

    def logits_shape(self) -> tuple[int, ...]:
        return (len(self.labels) or 1,)


def label_settings(labels: Sequence[str]) -> dict[str, Any]:
    """What a model's config says about its classes."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {name: number for number, name in enumerate(labels)},
    }


def in_order(labels: Iterable[str]) -> list[str]:
    """By number if all are whole numbers, else by the alphabet."""
    found = set(labels)
    whole = all(label.removeprefix("-").isdecimal() for label in found)
    return sorted(found, key=int) if whole else sorted(found)
