"""A training step with a teacher, whose logits come from the cache, against one without a teacher.

Question answering with BERT-base layers and random weights. What the teacher is does not matter
to the cached side; the online side asks a network of twice as many layers in every step.

    python benchmarks/teacher_cost.py
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from common import Row, compare, write
from torch import Tensor
from transformers import BertConfig, BertForQuestionAnswering

from prune.training.distillation import Distillation, OnlineTeacher, Teacher
from prune.training.teacher_cache import CachedTeacher, cached

LAYERS, BATCH, LENGTH, EXAMPLES = 2, 8, 128, 512
NAMES = ("start_logits", "end_logits")


def network(layers: int) -> BertForQuestionAnswering:
    torch.manual_seed(0)
    return BertForQuestionAnswering(BertConfig(num_hidden_layers=layers, vocab_size=1000)).train()


def batch() -> dict[str, Tensor]:
    tokens = torch.randint(0, 1000, (BATCH, LENGTH))
    places = torch.randint(0, LENGTH, (BATCH,))
    return {
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "start_positions": places,
        "end_positions": places,
        "index": torch.randint(0, EXAMPLES, (BATCH,)),
    }


def step(teacher: Teacher | None) -> Callable[[], None]:
    model = network(LAYERS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    distillation = Distillation(teacher, NAMES) if teacher else None

    def once() -> None:
        inputs = batch()
        outputs = model(**{name: t for name, t in inputs.items() if name != "index"})
        loss = distillation.loss(outputs, inputs) if distillation else outputs["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return once


def cache(folder: str) -> CachedTeacher:
    def produce() -> list[tuple[list[int], list[Tensor]]]:
        return [([i], list(torch.randn(2, 1, LENGTH))) for i in range(EXAMPLES)]

    return cached(Path(folder), "key", (EXAMPLES, len(NAMES), LENGTH), produce)


def main() -> None:
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "cached teacher": (cache(folder), 1.03),
            "online teacher of twice the depth": (OnlineTeacher(network(2 * LAYERS), NAMES), 3.0),
        }
        for name, (teacher, limit) in sides.items():
            calls = (step(teacher), step(None))
            rows.append(compare((f"step, {name}", "step, no teacher"), calls, "ratio", limit))
    about = f"{LAYERS} BERT-base layers, batch {BATCH} x {LENGTH}, fp32, fused AdamW"
    write("teacher_cost", rows, threads=1, about=about)


if __name__ == "__main__":
    main()
