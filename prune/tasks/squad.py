"""Extractive question answering: SQuAD v1.1 (Rajpurkar et al. 2016, arXiv:1606.05250)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import datasets
from torch import Tensor
from transformers import AutoModelForQuestionAnswering

from prune.errors import ConfigError
from prune.tasks import squad_reader
from prune.tasks.base import Task
from prune.tasks.squad_answers import answers
from prune.tasks.squad_features import Window, answer_tokens, windows
from prune.tasks.squad_metric import score
from prune.tasks.squad_reader import Example


class Squad(Task):
    """SQuAD v1.1, from `task.data_dir` or the hub, with its official metric."""

    name: ClassVar[str] = "squad"
    metric: ClassVar[str] = "f1"
    logit_names: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")
    logits_follow_tokens: ClassVar[bool] = True
    model_class: ClassVar[Any] = AutoModelForQuestionAnswering

    def read(self, split: str) -> list[Example]:
        """All examples of `train` or `eval`."""
        return squad_reader.read(split, self.config.data_dir)

    @cached_property
    def train(self) -> datasets.Dataset:
        examples, found = self._prepare("train", self.config.max_train_samples)
        rows = []
        for window in found:
            start, end = answer_tokens(window, *examples[window.example].answers[0])
            rows.append({**window.inputs, "start_positions": start, "end_positions": end})
        return _dataset(rows)

    @cached_property
    def eval(self) -> datasets.Dataset:
        return _dataset([window.inputs for window in self.eval_windows[1]])

    @cached_property
    def eval_windows(self) -> tuple[list[Example], list[Window]]:
        return self._prepare("eval", self.config.max_eval_samples)

    def score(self, logits: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        examples, found = self.eval_windows
        predictions = answers(examples, found, logits["start_logits"], logits["end_logits"])
        return score(predictions, {e.id: [text for text, _ in e.answers] for e in examples})

    @property
    def stride(self) -> int:
        """Tokens that two windows of one paragraph share."""
        given = self.config.doc_stride
        return self.config.max_length // 3 if given is None else given

    def _prepare(self, split: str, count: int | None) -> tuple[list[Example], list[Window]]:
        config = self.config
        if self.stride >= config.max_length - 8:
            raise ConfigError(
                f"task.doc_stride={self.stride} leaves no room in "
                f"task.max_length={config.max_length}: make it smaller"
            )
        examples = [e for e in self.read(split) if e.answers]
        if not config.short_only:
            examples = squad_reader.sample(examples, count, config.data_seed)
            return examples, list(self._windows(examples))
        # Shuffled first, so that only as many are tokenised as it takes.
        examples = squad_reader.sample(examples, len(examples), config.data_seed)
        return self._short(examples, count, split)

    def _short(
        self, examples: list[Example], count: int | None, split: str
    ) -> tuple[list[Example], list[Window]]:
        kept: list[Example] = []
        found: list[Window] = []
        step = 4 * (count or len(examples))
        for first in range(0, len(examples), step):
            chunk = examples[first : first + step]
            made = list(self._windows(chunk))
            pieces = [0] * len(chunk)
            for window in made:
                pieces[window.example] += 1
            for window in made:
                if pieces[window.example] == 1 and (count is None or len(kept) < count):
                    found.append(Window(window.inputs, len(kept), window.spans))
                    kept.append(chunk[window.example])
            if count is not None and len(kept) == count:
                break
        if not kept:
            raise ConfigError(
                f"no {split} example fits in task.max_length={self.config.max_length} tokens: "
                "raise it or set task.short_only=false"
            )
        return kept, found

    def _windows(self, examples: list[Example]) -> Any:
        return windows(examples, self.tokenizer, self.config.max_length, self.stride)


def _dataset(rows: list[dict[str, Any]]) -> datasets.Dataset:
    numbered = [
        {**row, "index": number, "length": len(row["input_ids"])} for number, row in enumerate(rows)
    ]
    return datasets.Dataset.from_list(numbered)
