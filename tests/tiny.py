"""Tiny real networks, made in milliseconds, with random weights."""

from typing import Any

import torch
from transformers import BertConfig, BertForQuestionAnswering


def bert(layers: int = 2, seed: int = 0, **changes: Any) -> BertForQuestionAnswering:
    """A BERT with 4 heads of 8 and an FFN of 48."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
        **changes,
    )
    model = BertForQuestionAnswering(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # a fresh network has zeros there, which would hide mistakes
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def batch(rows: int = 3, length: int = 10, seed: int = 0) -> dict[str, torch.Tensor]:
    """Token ids with padding at the end of all rows but the first."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 60, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(1, rows):
        mask[row, length - row :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def labelled(rows: int = 8, seed: int = 0) -> dict[str, torch.Tensor]:
    """A batch with start and end positions that depend on the input."""
    inputs = batch(rows, 10, seed)
    start = inputs["input_ids"][:, :5].argmax(1)
    return {**inputs, "start_positions": start, "end_positions": start + 1}
