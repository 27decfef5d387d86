"""A tiny T5 or BART with a word vocabulary of its own, saved as a folder a user could name."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
START, PAD, END, UNKNOWN = range(4)


def tokenizer(texts: Iterable[str], begins: bool) -> PreTrainedTokenizerFast:
    """One token a word, and an end; a beginning too if `begins`, as BART has it."""
    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    made = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = WhitespaceSplit()
    made.post_processor = TemplateProcessing(
        single="<s> $A </s>" if begins else "$A </s>",
        special_tokens=[("<s>", START), ("</s>", END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )


def save(folder: Path, texts: Iterable[str], kind: str = "t5", layers: int = 1) -> str:
    """Write a `t5` or `bart` whose tokenizer knows the words of `texts`."""
    words = tokenizer(texts, begins=kind == "bart")
    torch.manual_seed(0)
    common: dict[str, Any] = {
        "vocab_size": len(words),
        "d_model": 64,
        "pad_token_id": PAD,
        "eos_token_id": END,
        "bos_token_id": START,
    }
    model: T5ForConditionalGeneration | BartForConditionalGeneration
    if kind == "t5":
        sizes = {"d_kv": 16, "d_ff": 128, "num_layers": layers, "num_heads": 4}
        t5 = T5Config(**common, **sizes, decoder_start_token_id=PAD, dropout_rate=0.0)
        model = T5ForConditionalGeneration(t5)
    else:
        sizes = {"layers": layers, "attention_heads": 4, "ffn_dim": 128}
        sides = {f"{side}_{n}": v for side in ("encoder", "decoder") for n, v in sizes.items()}
        bart = BartConfig(
            **common,
            **sides,
            max_position_embeddings=64,
            decoder_start_token_id=END,
            dropout=0.0,
            init_std=0.1,
        )
        model = BartForConditionalGeneration(bart)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)
