"""A fine-pruning step against a plain fine-tuning step of the same network, side by side.

    python benchmarks/step_overhead.py [topk l0 ...] [--threads 1]

BERT-base layers with random weights, fresh random tokens in each step; the pruned network is in
the middle of its ramp, where the threshold moves and nothing is cached. Every algorithm with every
geometry, those of one algorithm and the plain step in turn. All use the fused AdamW, as the Hugging
Face Trainer does. What a pruner keeps in memory beside the model is counted, too.

A pruner works in `optimizer.step()`; forward and backward are those of a dense model. On a CPU that
others share they differ by more from one step to the next than it may take. So the goal is held
against a plain step in which the update alone is the pruner's (on a GPU, which does not wait for
it, against the whole step), and whether the rest is the same is a row of its own.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from common import MIN_PAIRS, Row, interleaved, row_of, write
from torch import Tensor, nn
from transformers import BertConfig, BertModel

import prune
from prune.masks.algorithms import (
    L0,
    Algorithm,
    Ampere,
    Magnitude,
    SigmoidThreshold,
    Threshold,
    TopK,
)
from prune.masks.geometry import Block, Heads, Rows
from prune.masks.rules import Part
from prune.speed.machine import device_name

STEPS = 1000
LIMIT, HYBRID_LIMIT, MEMORY_LIMIT = 1.10, 1.03, 1.05
ONE, BLOCK = Block(1, 1), Block(32, 32)
ALGORITHMS: dict[str, Algorithm] = {
    "topk": TopK(0.3),
    "topk global": TopK(0.3),
    "magnitude": Magnitude(0.3),
    "threshold": Threshold(),
    "sigmoid_threshold": SigmoidThreshold(),
    "l0": L0(),
    "ampere": Ampere(),
}
SHOWN = ("1x1", "2:4")  # in README, and:
SHOWN_TOO = ("hybrid 32x32 + neurons, sigmoid_threshold", "heads + neurons, sigmoid_threshold")
KEPT_SHOWN = ("hybrid 32x32 + neurons, sigmoid_threshold", "1x1, topk")


def policies(name: str) -> dict[str, prune.Policy]:
    """Everything that an algorithm can be used for, by geometry."""
    how, pooled = ALGORITHMS[name], name == "topk global"
    penalty = 0.0 if how.ranks else 10.0

    def policy(attention: Part, ffn: Part) -> prune.Policy:
        attention, ffn = replace(attention, pooled=pooled), replace(ffn, pooled=pooled)
        schedule = prune.Schedule(warmup_steps=0, final=0)
        return prune.Policy(attention, ffn, schedule=schedule, penalty=penalty)

    neurons = Part(how, Rows(), "pair")
    if name == "ampere":
        blocks = Part(TopK(0.3), BLOCK, ampere=True)
        pairs = Part(TopK(0.3), Rows(), "pair", ampere=True)
        alone = Part(how, ONE)
        return {"2:4": policy(alone, alone), "2:4 x hybrid 32x32 + neurons": policy(blocks, pairs)}
    return {
        "1x1": policy(Part(how, ONE), Part(how, ONE)),
        "4x4": policy(Part(how, Block(4, 4)), Part(how, Block(4, 4))),
        "32x32": policy(Part(how, BLOCK), Part(how, BLOCK)),
        "rows": policy(Part(how, Rows()), Part(how, Rows())),
        "heads + neurons": policy(Part(how, Heads()), neurons),
        "hybrid 32x32 + neurons": policy(Part(how, BLOCK), neurons),
        "joint 32x32 + neurons": policy(Part(how, BLOCK, "joint"), neurons),
        "value_output + neurons": policy(Part(how, Rows(), "value_output"), neurons),
    }


class Step:
    """A step of training; keeps the ms of its updates."""

    def __init__(self, bench: "Bench", model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.bench, self.model, self.optimizer = bench, model, optimizer
        self.updates: list[float] = []

    def __call__(self) -> None:
        device = self.bench.device
        tokens = torch.randint(0, 1000, self.bench.shape, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bench.bf16):
            loss = self.model(tokens).last_hidden_state.square().mean()
        loss.backward()
        start = time.perf_counter()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.updates.append((time.perf_counter() - start) * 1e3)
        if device.type == "cuda":
            torch.cuda.synchronize()


class Bench:
    """Networks of one size, and steps of training them."""

    def __init__(self, layers: int, batch: int, length: int, device: str, bf16: bool) -> None:
        self.layers, self.shape, self.bf16 = layers, (batch, length), bf16
        self.device = torch.device(device)

    def network(self) -> BertModel:
        torch.manual_seed(0)
        config = BertConfig(num_hidden_layers=self.layers, vocab_size=1000)
        model = BertModel(config, add_pooling_layer=False).train()
        return model.to(self.device)  # type: ignore[arg-type]

    def plain(self) -> Step:
        model = self.network()
        return Step(self, model, torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True))

    def pruner(self, policy: prune.Policy) -> tuple[prune.Pruner, torch.optim.Optimizer]:
        """In the middle of its ramp, with scores as after many steps: no ties."""
        pruner = prune.Pruner(self.network(), policy, steps=STEPS)
        with torch.no_grad():
            for scores in pruner.scores():
                scores.normal_(std=0.1)
        pruner.step = STEPS // 3
        pruner.apply()
        groups = pruner.parameter_groups(lr=1e-5, scores_lr=1e-2)
        optimizer = torch.optim.AdamW(groups, fused=True)
        pruner.attach(optimizer)
        return pruner, optimizer

    def rows(self, name: str, geometries: list[str], pairs: int) -> Iterator[Row]:
        """All geometries of one algorithm and the plain step in turn."""
        found = {g: p for g, p in policies(name).items() if not geometries or g in geometries}
        pruners = {geometry: self.pruner(policy) for geometry, policy in found.items()}
        steps = {g: Step(self, pruner.model, opt) for g, (pruner, opt) in pruners.items()}
        yield from self.compared(name, self.plain(), steps, pairs)
        steps.clear()
        for geometry, policy in found.items():
            del pruners[geometry]
            yield self.memory(f"{geometry}, {name}", policy)

    def compared(self, name: str, plain: Step, steps: dict[str, Step], pairs: int) -> Iterator[Row]:
        """Whole steps; on a CPU also what the updates make of a plain step, and the rest."""
        whole, *taken = interleaved([plain, *steps.values()], pairs)
        times = dict(zip(steps, taken, strict=True))
        apart = self.device.type == "cpu"
        for geometry, step in steps.items():
            limit = HYBRID_LIMIT if geometry.startswith("hybrid") else LIMIT
            shown = geometry in SHOWN or f"{geometry}, {name}" in SHOWN_TOO
            label = f"step, {geometry}, {name}", "plain step"
            yield row_of(label, (times[geometry], whole), "ratio", None if apart else limit, shown)
            if apart:
                label = f"plain step with the update of {geometry}, {name}", "plain step"
                rest = less(whole, plain.updates)
                with_it = [r + u for r, u in zip(rest, step.updates[-pairs:], strict=True)]
                yield row_of(label, (with_it, whole), "ratio", limit, shown)
        if apart:
            rests = [less(times[geometry], step.updates) for geometry, step in steps.items()]
            means = [statistics.fmean(one) for one in zip(*rests, strict=True)]
            label = f"forward and backward, mean of all, {name}", "those of a plain step"
            yield row_of(label, (means, less(whole, plain.updates)), "ratio", None, False)

    def memory(self, name: str, policy: prune.Policy) -> Row:
        """What a pruner keeps between two steps, against the prunable weights."""
        before = alive()
        network = self.network()
        alone = alive() - before
        del network
        pruner, optimizer = self.pruner(policy)
        Step(self, pruner.model, optimizer)()
        moments = sum(t.nbytes for state in optimizer.state.values() for t in state.values())
        held = alive() - before - alone - moments
        weights = sum(slot.full.nbytes for slot in pruner.slots)
        scores = sum(s.nbytes for s in pruner.scores())
        limit = round(MEMORY_LIMIT * (weights + scores) / weights, 3)  # one copy, and the scores
        label = f"kept by the pruner, {name}", "the prunable weights"
        pair = ([held / 1e6], [weights / 1e6])
        return row_of(label, pair, "ratio", limit, name in KEPT_SHOWN, unit="MB")


def less(steps: list[float], updates: list[float]) -> list[float]:
    """What each step takes but for its update, which is kept of the warm-up, too."""
    return [step - update for step, update in zip(steps, updates[-len(steps) :], strict=True)]


def alive() -> int:
    """Bytes of all tensors there are."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithms", nargs="*", help=f"of {', '.join(ALGORITHMS)}")
    parser.add_argument("--geometry", nargs="*", default=[], help="as 1x1 or rows; all if none is")
    parser.add_argument("--pairs", type=int, default=MIN_PAIRS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="autocast")
    parser.add_argument("--out", type=Path, help="a folder for the JSON")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    prune.keep_memory()  # as `prune train` does
    bench = Bench(asked.layers, asked.batch, asked.length, asked.device, asked.bf16)
    device = device_name(bench.device) if asked.device != "cpu" else ""
    about = (
        f"{asked.layers} BERT-base layers, batch {asked.batch} x {asked.length}, "
        f"{'bf16 autocast' if asked.bf16 else 'fp32'}, fused AdamW"
    )
    for name in asked.algorithms or ALGORITHMS:
        rows = list(bench.rows(name, asked.geometry, asked.pairs))
        write("step_overhead", rows, asked.threads, about, device, True, asked.out)


if __name__ == "__main__":
    main()
