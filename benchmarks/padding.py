"""Training on length-grouped batches with dynamic padding against padding everything to 384 tokens.

The same SQuAD features, each seen once on either side, through a small encoder with random weights;
the ratio is of the time of one pass, so its inverse is the ratio of useful tokens per second.

    python benchmarks/padding.py MODEL_FOLDER SQUAD_FOLDER
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from common import compare, write
from transformers import BertConfig, BertModel
from transformers.trainer_pt_utils import LengthGroupedSampler

from prune import tasks
from prune.config import TaskConfig

BATCH, LENGTH, FEATURES = 16, 384, 256


def features(model: str, folder: str) -> list[dict[str, Any]]:
    config = TaskConfig(
        name="squad", data_dir=folder, max_length=LENGTH, max_train_samples=2000,
        max_eval_samples=8,
    )  # fmt: skip
    task = tasks.get(config, tasks.processor_for(config, model), 0)
    return [task.train[i] for i in range(FEATURES)]


def batches(lengths: list[int], grouped: bool) -> Iterator[tuple[int, int]]:
    """(rows, tokens) of each batch of one pass."""
    order = list(LengthGroupedSampler(BATCH, lengths=lengths)) if grouped else range(len(lengths))
    picked = [lengths[i] for i in order]
    for start in range(0, len(picked), BATCH):
        rows = picked[start : start + BATCH]
        yield len(rows), max(rows) if grouped else LENGTH


def one_pass(model: BertModel, lengths: list[int], grouped: bool) -> Callable[[], None]:
    def once() -> None:
        for rows, length in batches(lengths, grouped):
            tokens = torch.randint(0, 1000, (rows, length))
            model(tokens).last_hidden_state.square().mean().backward()
            model.zero_grad()

    return once


def main() -> None:
    torch.set_num_threads(2)
    lengths = [len(f["input_ids"]) for f in features(*sys.argv[1:3])]
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=128, num_attention_heads=4, intermediate_size=512, num_hidden_layers=2,
        vocab_size=1000,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False).train()
    calls = (one_pass(model, lengths, True), one_pass(model, lengths, False))
    names = ("one pass, grouped by length", "one pass, padded to 384")
    row = compare(names, calls, "ratio", round(1 / 1.8, 3))
    about = (
        f"{FEATURES} features of SQuAD v1.1 ({sum(lengths) / len(lengths):.0f} tokens on average), "
        f"batch {BATCH}, forward and backward, 2 layers of hidden size 128, fp32"
    )
    write("padding", [row], threads=2, about=about)


if __name__ == "__main__":
    main()
