"""Training on length-grouped batches with dynamic padding against padding everything to 384 tokens.

    python benchmarks/padding.py MODEL_FOLDER SQUAD_FOLDER [--threads 2]

A small encoder with random weights reads some of the batches that one pass over the same SQuAD
features has, of all lengths; the ratio is of the time, so its inverse is the ratio of useful tokens
per second. Padded to one length, every batch takes as long as any other.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from common import compare, write
from transformers import BertConfig, BertModel
from transformers.trainer_pt_utils import LengthGroupedSampler

from prune import tasks
from prune.config import TaskConfig

BATCH, LENGTH, BATCHES = 16, 384, 8


def features(model: str, folder: str) -> list[dict[str, Any]]:
    config = TaskConfig(
        name="squad", data_dir=folder, max_length=LENGTH, max_train_samples=2000,
        max_eval_samples=8,
    )  # fmt: skip
    task = tasks.get(config, tasks.processor_for(config, model), 0)
    return [task.train[i] for i in range(len(task.train))]


def grouped(lengths: list[int]) -> list[int]:
    """The padded length of each of `BATCHES` batches, evenly chosen from the short to the long."""
    torch.manual_seed(0)
    order = [lengths[i] for i in LengthGroupedSampler(BATCH, lengths=lengths)]
    whole = range(0, len(order) - BATCH + 1, BATCH)
    longest = sorted(max(order[start : start + BATCH]) for start in whole)
    return [longest[int((n + 0.5) * len(longest) / BATCHES)] for n in range(BATCHES)]


def one_pass(model: BertModel, lengths: list[int]) -> Callable[[], None]:
    def once() -> None:
        for length in lengths:
            tokens = torch.randint(0, 1000, (BATCH, length))
            model(tokens).last_hidden_state.square().mean().backward()
            model.zero_grad()

    return once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a folder with a tokenizer")
    parser.add_argument("squad", help="a folder with SQuAD v1.1")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    lengths = [len(f["input_ids"]) for f in features(asked.model, asked.squad)]
    config = BertConfig(
        hidden_size=128, num_attention_heads=4, intermediate_size=512, num_hidden_layers=2,
        vocab_size=1000,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False).train()
    calls = (one_pass(model, grouped(lengths)), one_pass(model, BATCHES * [LENGTH]))
    names = ("batches grouped by length", "padded to 384")
    row = compare(names, calls, "ratio", round(1 / 1.8, 3))
    about = (
        f"{len(lengths):,} features of SQuAD v1.1, {sum(lengths) / len(lengths):.0f} tokens on "
        f"average: {BATCHES} batches of {BATCH}, forward and backward, 2 layers of hidden size 128"
    )
    write("padding", [row], asked.threads, about)


if __name__ == "__main__":
    main()
