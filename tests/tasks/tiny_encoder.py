"""A tiny BERT encoder with its own word vocabulary, saved as a folder a user could name."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, BertTokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def vocabulary(texts: Iterable[str]) -> dict[str, int]:
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    pieces = [*words, *(f"##{word}" for word in words)]
    return {word: number for number, word in enumerate([*SPECIAL, *pieces])}


def save(folder: Path, texts: Iterable[str], kind: Any = BertModel, **changes: Any) -> str:
    """Write a model of class `kind`, of 2 layers, whose tokenizer knows the words of `texts`."""
    words = vocabulary(texts)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,
        **changes,
    )
    kind(config).save_pretrained(folder)
    BertTokenizer(vocab=words).save_pretrained(folder)
    return str(folder)
