"""A training step with a teacher, whose logits come from the cache, against one without a teacher.

Question answering with BERT-base layers and random weights. What the teacher is does not matter
to the cached side; the online side asks a network of twice as many layers in every step.

    python benchmarks/teacher_cost.py [--device cuda --bf16 --batch 16 --length 384]
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from common import Row, compare, write
from torch import Tensor
from transformers import BertConfig, BertForQuestionAnswering

from prune.speed.machine import device_name
from prune.training.distillation import Distillation, OnlineTeacher, Teacher
from prune.training.teacher_cache import CachedTeacher, cached

EXAMPLES, DEPTH, TEACHER_DEPTH = 512, 2, 2
NAMES = ("start_logits", "end_logits")


class Bench:
    """Networks on one device, and steps of training them."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.layers, self.batch, self.length = asked.layers, asked.batch, asked.length
        self.device, self.bf16 = torch.device(asked.device), asked.bf16

    def network(self, layers: int) -> BertForQuestionAnswering:
        torch.manual_seed(0)
        config = BertConfig(num_hidden_layers=layers, vocab_size=1000)
        model = BertForQuestionAnswering(config).train()
        return model.to(self.device)  # type: ignore[arg-type]

    def examples(self) -> dict[str, Tensor]:
        """As a loader gives them: where each is in the data stays in the processor's memory."""
        tokens = torch.randint(0, 1000, (self.batch, self.length))
        places = torch.randint(0, self.length, (self.batch,))
        found = {
            "input_ids": tokens,
            "attention_mask": torch.ones_like(tokens),
            "start_positions": places,
            "end_positions": places,
            "index": torch.randint(0, EXAMPLES, (self.batch,)),
        }
        return {name: tensor.to(self.device) for name, tensor in found.items()}

    def step(self, teacher: Teacher | None) -> Callable[[], None]:
        model = self.network(self.layers)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        distillation = Distillation(teacher, NAMES) if teacher else None

        def once() -> None:
            inputs = self.examples()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                outputs = model(**{name: t for name, t in inputs.items() if name != "index"})
                loss = distillation.loss(outputs, inputs) if distillation else outputs["loss"]
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if self.device.type == "cuda":
                torch.cuda.synchronize()

        return once

    def cache(self, folder: str) -> CachedTeacher:
        def produce() -> list[tuple[list[int], list[Tensor]]]:
            return [([i], list(torch.randn(2, 1, self.length))) for i in range(EXAMPLES)]

        return cached(Path(folder), "key", (EXAMPLES, len(NAMES), self.length), produce)

    def rows(self) -> Iterator[Row]:
        with tempfile.TemporaryDirectory() as folder:
            online = OnlineTeacher(self.network(TEACHER_DEPTH * self.layers), NAMES)
            for name, teacher, limit in (
                ("cached teacher", self.cache(folder), 1.03),
                ("online teacher of twice the depth", online, None),
            ):
                names = f"step, {name}", "step, no teacher"
                yield compare(names, (self.step(teacher), self.step(None)), "ratio", limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=DEPTH)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="autocast")
    parser.add_argument("--out", type=Path, help="a folder for the JSON")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    bench = Bench(asked)
    device = device_name(bench.device) if asked.device != "cpu" else ""
    about = (
        f"{asked.layers} BERT-base layers, batch {asked.batch} x {asked.length}, "
        f"{'bf16 autocast' if asked.bf16 else 'fp32'}, fused AdamW"
    )
    rows = list(bench.rows())
    write("teacher_cost", rows, asked.threads, about, device, folder=asked.out)


if __name__ == "__main__":
    main()
