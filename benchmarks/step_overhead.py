"""A fine-pruning step against a plain fine-tuning step of the same network, side by side.

BERT-base layers with random weights, one thread, fresh random tokens in each step; the pruned
network is in the middle of its ramp, where the threshold moves and nothing is cached. Both use the
fused AdamW, as the Hugging Face Trainer does.

    python benchmarks/step_overhead.py
"""

from collections.abc import Callable

import torch
from common import Row, compare, write
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
from prune.masks.geometry import Block, Geometry, Rows

LAYERS, BATCH, LENGTH, STEPS = 2, 8, 128, 1000
SCHEDULE = prune.Schedule(warmup_steps=0, final=0)


def everywhere(algorithm: Algorithm, geometry: Geometry, ampere: bool = False) -> prune.Policy:
    """The same for attention and FFN."""
    part = prune.Part(algorithm, geometry, ampere=ampere)
    return prune.Policy(part, part, schedule=SCHEDULE)


POLICIES = {
    "hybrid 32x32 + neurons": (prune.hybrid(schedule=SCHEDULE), 1.05),
    "heads + neurons": (prune.structured(schedule=SCHEDULE), 1.05),
    "1x1 topk": (everywhere(TopK(0.3), Block(1, 1)), 1.10),
    "1x1 magnitude": (everywhere(Magnitude(0.3), Block(1, 1)), 1.10),
    "1x1 threshold": (everywhere(Threshold(), Block(1, 1)), 1.10),
    "1x1 sigmoid_threshold": (everywhere(SigmoidThreshold(), Block(1, 1)), 1.10),
    "1x1 l0": (everywhere(L0(), Block(1, 1)), 1.10),
    "2:4 ampere": (everywhere(Ampere(), Block(1, 1)), 1.10),
    "32x32 topk": (everywhere(TopK(0.3), Block(32, 32)), 1.10),
    "32x32 l0": (everywhere(L0(), Block(32, 32)), 1.10),
    "4x4 sigmoid_threshold": (everywhere(SigmoidThreshold(), Block(4, 4)), 1.10),
    "rows magnitude": (everywhere(Magnitude(0.3), Rows()), 1.10),
}


def network() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(num_hidden_layers=LAYERS, vocab_size=1000)
    return BertModel(config, add_pooling_layer=False).train()


def step(model: BertModel, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    def once() -> None:
        tokens = torch.randint(0, 1000, (BATCH, LENGTH))
        model(tokens).last_hidden_state.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return once


def plain_step() -> Callable[[], None]:
    model = network()
    return step(model, torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True))


def pruned_step(policy: prune.Policy) -> Callable[[], None]:
    pruner = prune.Pruner(network(), policy, steps=STEPS)
    with torch.no_grad():
        for scores in pruner.scores():
            scores.normal_(std=0.1)  # as after many steps: no ties
    pruner.step = STEPS // 3
    pruner.apply()
    optimizer = torch.optim.AdamW(pruner.parameter_groups(lr=1e-5, scores_lr=1e-2), fused=True)
    pruner.attach(optimizer)
    return step(pruner.model, optimizer)


def main() -> None:
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name, (policy, limit) in POLICIES.items():
        calls = (pruned_step(policy), plain_step())
        rows.append(compare((f"step, {name}", "plain step"), calls, "ratio", limit))
    about = f"{LAYERS} BERT-base layers, batch {BATCH} x {LENGTH}, fp32, fused AdamW"
    write("step_overhead", rows, threads=1, about=about)


if __name__ == "__main__":
    main()
