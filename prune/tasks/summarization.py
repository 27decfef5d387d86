"""Summaries of one's own texts, by T5 or BART, scored by ROUGE (Lin 2004)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import datasets
import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

from prune.config import TaskConfig
from prune.errors import ConfigError, MissingInputError
from prune.tasks import rouge
from prune.tasks.files import sample
from prune.tasks.language import PAD_TO, LanguageTask
from prune.tasks.pretrained import load_config
from prune.tasks.text import rows_of
from prune.tasks.writing import writing

IGNORED = -100  # the label of what is no token of the summary

Pair = tuple[str, str]  # a text and its summary


class Summarization(LanguageTask):
    """Texts of `task.text_columns` (one) and their summaries, of `task.label_column`.

    The files are train.jsonl and eval.jsonl (or dev, validation, valid, test; .csv, .tsv; .gz) of
    `task.data_dir`, or those called `task.train_file` and `task.eval_file` there. `task.prefix` is
    put before each text, as T5 was trained. What is longer than `task.max_length` tokens, or a
    summary than `task.summary_length`, is cut. Summaries are written as the model's generation
    config says, or with `task.beams` beams, and scored against the whole references.
    """

    name: ClassVar[str] = "summarization"
    metric = "rougeL"
    logit_names: ClassVar[tuple[str, ...]] = ("logits",)
    caches_logits: ClassVar[bool] = False  # a vocabulary of them for each token
    model_class: ClassVar[Any] = AutoModelForSeq2SeqLM
    class_name: ClassVar[str] = "ForConditionalGeneration"

    def __init__(self, config: TaskConfig, *args: Any) -> None:
        super().__init__(config, *args)
        rouge.scorer()  # if it is missing, better now than after the training

    @cached_property
    def train(self) -> datasets.Dataset:
        return self._features(self._pairs("train", self.config.max_train_samples))

    @cached_property
    def eval(self) -> datasets.Dataset:
        return self._features(self._eval_pairs)

    @cached_property
    def _eval_pairs(self) -> list[Pair]:
        return self._pairs("eval", self.config.max_eval_samples)

    @cached_property
    def start(self) -> int:
        """The token that a decoder begins with: the model beside the tokenizer says which."""
        config = load_config(self.tokenizer.name_or_path)
        start = config.decoder_start_token_id if config.is_encoder_decoder else None
        if start is None:
            raise ConfigError(
                f"{self.tokenizer.name_or_path} has no decoder that can begin: "
                "task=summarization needs a T5 or a BART"
            )
        return int(start)

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """With labels (batch, longest summary), and what the decoder reads: those moved by one.

        What is padding is -100 in `labels` and 0 in `decoder_attention_mask`.
        """
        batch = super().collate(features)
        longest = max(len(f["labels"]) for f in features)
        width = min(-(-longest // PAD_TO) * PAD_TO, self.config.summary_length)
        labels = torch.full((len(features), width), IGNORED)
        for row, feature in zip(labels, features, strict=True):
            row[: len(feature["labels"])] = torch.tensor(feature["labels"])
        known = labels != IGNORED
        read = labels.masked_fill(~known, self.tokenizer.pad_token_id).roll(1, 1)
        read[:, 0] = self.start
        return {
            **batch,
            "labels": labels,
            "decoder_input_ids": read,
            "decoder_attention_mask": known.long(),
        }

    def answer(self, model: Any, batch: Mapping[str, Tensor]) -> dict[str, list[Tensor]]:
        """The summaries of a batch, token by token."""
        written = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            generation_config=writing(model, self.config.summary_length, beams=self.config.beams),
        )
        return {"summaries": list(written.cpu())}

    def score(self, outputs: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        texts = [
            str(self.tokenizer.decode(row, skip_special_tokens=True))
            for row in outputs["summaries"]
        ]
        return rouge.score(texts, [summary for _, summary in self._eval_pairs])

    def check(self, model: PreTrainedModel, name: str) -> None:
        super().check(model, name)
        self.check_length(model, "task.summary_length", self.config.summary_length)

    def _pairs(self, split: str, count: int | None) -> list[Pair]:
        columns = self.config.text_columns
        if len(columns) != 1:
            raise ConfigError(f"task.text_columns={columns}: name one column, that of the texts")
        pairs = []
        for where, (text, summary) in rows_of(self.config, split, columns):
            if not summary.strip():
                raise MissingInputError(f"{where}: the summary is empty")
            pairs.append((text, summary))
        return sample(pairs, count, self.config.data_seed)

    def _features(self, pairs: Sequence[Pair]) -> datasets.Dataset:
        config = self.config
        texts = [config.prefix + text for text, _ in pairs]
        encoded = self.tokenizer(texts, truncation=True, max_length=config.max_length)
        columns = {n: encoded[n] for n in self.tokenizer.model_input_names if n in encoded}
        columns["labels"] = self.tokenizer(
            text_target=[summary for _, summary in pairs],
            truncation=True,
            max_length=config.summary_length,
        )["input_ids"]
        columns["index"] = list(range(len(pairs)))
        columns["length"] = [len(ids) for ids in encoded["input_ids"]]
        return datasets.Dataset.from_dict(columns)
