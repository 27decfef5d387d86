"""Tasks whose inputs are tokens: padding, and a BERT from scratch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from prune.config import TaskConfig
from prune.errors import ConfigError
from prune.tasks.base import Processor, Task
from prune.tasks.pretrained import load_tokenizer

PAD_TO = 8  # batches are padded to a multiple of this many tokens


class LanguageTask(Task):
    """Each feature has `input_ids`, `attention_mask`, perhaps `token_type_ids`, and its length."""

    @classmethod
    def load_processor(cls, config: TaskConfig, name_or_path: str | None) -> Processor:
        if name_or_path is None:
            raise ConfigError(
                f"task={config.name} needs a pretrained model: model.name_or_path=NAME"
            )
        return load_tokenizer(name_or_path)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        assert isinstance(self.processor, PreTrainedTokenizerBase)
        return self.processor

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

    def fresh(self) -> tuple[type[PreTrainedConfig], dict[str, Any]]:
        """A BERT with the vocabulary of the tokenizer."""
        return BertConfig, {
            "vocab_size": len(self.tokenizer),
            "pad_token_id": self.tokenizer.pad_token_id,
            "max_position_embeddings": max(self.config.max_length, 64),
        }

    def check_length(self, model: PreTrainedModel, key: str, length: int) -> None:
        longest = getattr(model.config, "max_position_embeddings", None) or math.inf
        if length > longest:
            raise ConfigError(f"{key}: the model reads {longest} tokens at most, not {length}")

    def check_teacher(self, teacher: PreTrainedModel, model: PreTrainedModel, name: str) -> None:
        theirs, ours = teacher.config.vocab_size, model.config.vocab_size
        if theirs != ours:
            raise ConfigError(
                f"teacher {name} has a vocabulary of {theirs:,}, the model one of {ours:,}: "
                "they must share a tokenizer"
            )
