"""Density and paired latency of one artifact against the dense network.

Dense and pruned run in turn in one process on the same fresh random inputs, after a warm-up, so
that the drift of the machine cancels in the ratio; its interval is a bootstrap over the rounds.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prune.masks import structure
from prune.records import Density, Latency

LEAST_ROUND_S = 0.02  # shorter forward passes are repeated within a round
WARMUP_S = 0.2  # of each network, at least; and until two rounds agree


@dataclass(frozen=True)
class Count:
    """Numbers of parameters of one network."""

    prunable: int  # weights of the linear layers of attention and FFN
    nonzero: int  # of those
    total: int  # all parameters


def count(model: nn.Module) -> Count:
    """Counts of a dense, masked or shrunk network of an architecture that has a table."""
    modules = dict(model.named_modules())
    names = structure.read(model).matrices()
    weights = [modules[n].weight for n in names if n in modules]
    tensors = [w.detach() for w in weights if isinstance(w, Tensor)]
    return Count(
        prunable=sum(w.numel() for w in tensors),
        nonzero=sum(int(torch.count_nonzero(w)) for w in tensors),
        total=sum(p.numel() for p in model.parameters()),
    )


def density(small: Count, dense: Count) -> Density:
    """Three shares of the dense network: non-zero, stored, and of the whole model."""
    return Density(
        nonzero=small.nonzero / dense.prunable,
        stored=small.prunable / dense.prunable,
        model=small.total / dense.total,
    )


def size_mb(model: nn.Module) -> float:
    """Megabytes (1e6 bytes) of the weights of a network in memory."""
    return sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6


@torch.inference_mode()
def latency(
    dense: nn.Module,
    pruned: nn.Module,
    batch: int,
    length: int,
    rounds: int = 7,
    vocabulary: int = 1000,
    seed: int = 0,
) -> Latency:
    """Paired latency of one forward pass of `batch` inputs of `length` tokens, in eager mode.

    Returns medians in milliseconds, the median of the ratios dense / pruned of the rounds, and a
    95 % bootstrap interval of that median.
    """
    dense.eval(), pruned.eval()
    device = next(pruned.parameters()).device
    generator = torch.Generator().manual_seed(seed)

    def once(model: nn.Module) -> float:
        ids = torch.randint(0, vocabulary, (batch, length), generator=generator).to(device)
        mask = torch.ones_like(ids)
        start = time.perf_counter()
        model(input_ids=ids, attention_mask=mask)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    repeats = max(_warm_up(once, dense), _warm_up(once, pruned))
    pairs = []
    for number in range(rounds):
        order = (dense, pruned) if number % 2 == 0 else (pruned, dense)
        times = {id(m): sum(once(m) for _ in range(repeats)) / repeats for m in order}
        pairs.append((times[id(dense)], times[id(pruned)]))
    low, high = bootstrap([a / b for a, b in pairs], seed)
    return Latency(
        batch=batch,
        length=length,
        runtime="eager",
        dense_ms=1e3 * statistics.median(a for a, _ in pairs),
        pruned_ms=1e3 * statistics.median(b for _, b in pairs),
        speedup=statistics.median(a / b for a, b in pairs),
        speedup_low=low,
        speedup_high=high,
        rounds=rounds,
    )


def bootstrap(ratios: Sequence[float], seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """A 95 % interval of the median of `ratios`."""
    source = random.Random(seed)
    medians = sorted(statistics.median(source.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws) - 1]


def _warm_up(once: Callable[[nn.Module], float], model: nn.Module) -> int:
    """Run until two passes in a row agree within a tenth; returns passes for one round."""
    spent, last = 0.0, 0.0
    while True:
        took = once(model)
        spent += took
        steady = abs(took - last) <= 0.1 * took
        if (spent >= WARMUP_S and steady) or spent >= 5 * WARMUP_S + 3 * took:
            return max(1, round(LEAST_ROUND_S / took))
        last = took
