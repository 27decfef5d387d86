"""Extractive question answering: SQuAD v1.1 (Rajpurkar et al. 2016, arXiv:1606.05250)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from typing import Any, ClassVar

import datasets
from torch import Tensor
from transformers import AutoModelForQuestionAnswering

from prune.errors import ConfigError
from prune.tasks import squad_reader
from prune.tasks.features import features_of
from prune.tasks.language import LanguageTask
from prune.tasks.squad_answers import answers
from prune.tasks.squad_features import Window, answer_tokens, windows
from prune.tasks.squad_metric import score
from prune.tasks.squad_reader import Example


class Squad(LanguageTask):
    """SQuAD v1.1, from `task.data_dir` or the hub, with its official metric."""

    name: ClassVar[str] = "squad"
    metric = "f1"
    logit_names: ClassVar[tuple[str, ...]] = ("start_logits", "end_logits")
    logits_follow_tokens: ClassVar[bool] = True
    model_class: ClassVar[Any] = AutoModelForQuestionAnswering
    edition: ClassVar[squad_reader.Edition] = squad_reader.V1

    def read(self, split: str) -> list[Example]:
        """All examples of `train` or `eval`."""
        return squad_reader.read(split, self.config.data_dir, self.edition)

    @cached_property
    def train(self) -> datasets.Dataset:
        examples, found = self._prepare("train", self.config.max_train_samples)
        answers = [_first_answer(w, examples[w.example]) for w in found]
        labels = {
            "start_positions": [start for start, _ in answers],
            "end_positions": [end for _, end in answers],
        }
        return features_of([w.inputs for w in found], labels)

    @cached_property
    def eval(self) -> datasets.Dataset:
        return features_of([window.inputs for window in self.eval_windows[1]])

    @cached_property
    def eval_windows(self) -> tuple[list[Example], list[Window]]:
        return self._prepare("eval", self.config.max_eval_samples)

    def score(self, outputs: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        examples, found = self.eval_windows
        found_answers = answers(examples, found, outputs["start_logits"], outputs["end_logits"])
        predictions = {name: answer.text for name, answer in found_answers.items()}
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
        examples = self.read(split)
        if not config.short_only:
            examples = squad_reader.sample(examples, count, config.data_seed)
            return examples, list(self._windows(examples))
        # Shuffled first, so that only as many are tokenised as it takes.
        examples = squad_reader.sample(examples, len(examples), config.data_seed)
        kept, found = self._short(examples, count)
        if not kept:
            raise ConfigError(
                f"no {split} example fits in task.max_length={config.max_length} tokens: "
                "raise it or set task.short_only=false"
            )
        return kept, found

    def _short(
        self, examples: list[Example], count: int | None
    ) -> tuple[list[Example], list[Window]]:
        kept: list[Example] = []
        found: list[Window] = []
        for number, group in groupby(self._windows(examples), key=lambda w: w.example):
            pieces = list(group)
            if len(pieces) == 1:
                found.append(replace(pieces[0], example=len(kept)))
                kept.append(examples[number])
            if len(kept) == count:
                break
        return kept, found

    def _windows(self, examples: list[Example]) -> Iterator[Window]:
        return windows(examples, self.tokenizer, self.config.max_length, self.stride)


def _first_answer(window: Window, example: Example) -> tuple[int, int]:
    """First and last token of the first reference; (0, 0), [CLS], where there is none."""
    return answer_tokens(window, *example.answers[0]) if example.answers else (0, 0)
