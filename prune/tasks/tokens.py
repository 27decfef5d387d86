"""Token classification (entities, parts of speech) from CoNLL-style files of one's own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import datasets
import torch
from torch import Tensor
from transformers import AutoModelForTokenClassification

from prune.errors import MissingInputError
from prune.tasks import entities
from prune.tasks.files import lines_of, sample
from prune.tasks.language import LanguageTask
from prune.tasks.sequence import label_settings
from prune.tasks.text import local_file

ENDINGS = (".conll", ".txt", ".tsv", ".bio", ".iob2")
IGNORED = -100  # the label of tokens that are not the first of a word


@dataclass(frozen=True)
class Sentence:
    words: tuple[str, ...]
    tags: tuple[str, ...]


class TokenTask(LanguageTask):
    """One word a line, its tag in the last column, an empty line between sentences.

    The files are train.conll and eval.conll (or dev, validation, valid, test; .txt, .tsv, .bio,
    .iob2; .gz) of `task.data_dir`, or those called `task.train_file` and `task.eval_file` there.
    The labels are the tags of the train file, in alphabetical order. A word is tagged by its first
    token; words cut off at `task.max_length` count as tagged O.
    """

    name: ClassVar[str] = "tokens"
    metric = "f1"
    logit_names: ClassVar[tuple[str, ...]] = ("logits",)
    logits_follow_tokens: ClassVar[bool] = True
    model_class: ClassVar[Any] = AutoModelForTokenClassification

    @cached_property
    def labels(self) -> list[str]:
        return sorted({tag for sentence in self._all_train for tag in sentence.tags})

    @property
    def head(self) -> Mapping[str, Any]:
        return label_settings(self.labels)

    def logits_shape(self) -> tuple[int, ...]:
        return (self.config.max_length, len(self.labels))

    @cached_property
    def train(self) -> datasets.Dataset:
        config = self.config
        sentences = sample(self._all_train, config.max_train_samples, config.data_seed)
        columns, places = self._encode(sentences)
        columns["labels"] = [[IGNORED] * length for length in columns["length"]]
        for row, sentence, where in zip(columns["labels"], sentences, places, strict=True):
            for word, token in where.items():
                row[token] = self.labels.index(sentence.tags[word])
        return datasets.Dataset.from_dict(columns)

    @cached_property
    def eval(self) -> datasets.Dataset:
        return datasets.Dataset.from_dict(self._eval[1])

    def score(self, outputs: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        sentences, _, places = self._eval
        predictions = []
        for sentence, where, values in zip(sentences, places, outputs["logits"], strict=True):
            best = values.argmax(-1).tolist()
            predictions.append(
                [
                    self.labels[best[where[word]]] if word in where else "O"
                    for word in range(len(sentence.words))
                ]
            )
        return entities.score(predictions, [s.tags for s in sentences])

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        batch = super().collate(features)
        if "labels" in features[0]:
            labels = torch.full_like(batch["input_ids"], IGNORED)
            for row, feature in zip(labels, features, strict=True):
                row[: len(feature["labels"])] = torch.tensor(feature["labels"])
            batch["labels"] = labels
        return batch

    @cached_property
    def _all_train(self) -> list[Sentence]:
        return list(sentences_of(local_file(self.config, "train", ENDINGS)))

    @cached_property
    def _eval(self) -> tuple[list[Sentence], dict[str, Any], list[dict[int, int]]]:
        file = local_file(self.config, "eval", ENDINGS)
        sentences = list(sentences_of(file))
        known = set(self.labels)
        if unseen := sorted({tag for s in sentences for tag in s.tags} - known):
            raise MissingInputError(f"{file}: the tag {unseen[0]!r} is not in the train file")
        sentences = sample(sentences, self.config.max_eval_samples, self.config.data_seed)
        return sentences, *self._encode(sentences)

    def _encode(self, sentences: Sequence[Sentence]) -> tuple[dict[str, Any], list[dict[int, int]]]:
        """Columns of features; and for each sentence, word -> its first token, if it has one."""
        encoded = self.tokenizer(
            [" ".join(s.words) for s in sentences],
            truncation=True,
            max_length=self.config.max_length,
            return_offsets_mapping=True,
        )
        columns = {n: encoded[n] for n in self.tokenizer.model_input_names if n in encoded}
        columns["index"] = list(range(len(sentences)))
        columns["length"] = [len(ids) for ids in encoded["input_ids"]]
        spans = encoded["offset_mapping"]
        return columns, [first_tokens(s.words, o) for s, o in zip(sentences, spans, strict=True)]


def first_tokens(words: Sequence[str], spans: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Word -> its first token, from the characters that each token has of the joined words.

    spans: (tokens, 2), first character and end; empty for special tokens.
    """
    word_at = [n for n, word in enumerate(words) for _ in range(len(word) + 1)]
    found: dict[int, int] = {}
    for token, (begin, end) in enumerate(spans):
        # The last character: the first one may be the space before, in byte-level vocabularies.
        if begin < end:
            found.setdefault(word_at[end - 1], token)
    return found


def sentences_of(file: Path) -> Iterator[Sentence]:
    """The sentences of a CoNLL-style file, without its -DOCSTART- lines. MissingInputError."""
    words: list[str] = []
    tags: list[str] = []
    count = 0
    for number, line in enumerate([*lines_of(file), ""], 1):
        columns = line.split()
        if not columns or columns[0] == "-DOCSTART-":
            if words:
                yield Sentence(tuple(words), tuple(tags))
                count += 1
            words, tags = [], []
        elif len(columns) == 1:
            raise MissingInputError(f"{file} line {number}: {columns[0]!r} has no tag after it")
        else:
            words.append(columns[0])
            tags.append(columns[-1])
    if not count:
        raise MissingInputError(f"{file} has no sentences")
