"""The protocol of every latency: all that is compared runs in turn, in one process.

Each round times every pass once, in an order that changes, so that the drift of the machine
cancels in the ratio of two passes of one round; the interval of a ratio is a bootstrap over the
rounds. Short passes follow one of the same network that is not timed: the caches are then its own,
as in use, not those of the one before. What a pass frees is kept for the next, so none pays for new
memory, whatever its process did before. On a GPU the time is that between two CUDA events.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from prune.speed.malloc import keep_memory

LEAST_ROUND_S = 0.02  # shorter passes are repeated within a round
COLD_S = 0.1  # in longer ones the caches of the network before count for little
WARMUP_S = 0.2  # of each pass, at least; and until two in a row agree
STEADY = 0.1  # within this share

# One pass over inputs drawn anew for each number; returns its seconds, without the drawing.
Pass = Callable[[int], float]


@dataclass(frozen=True)
class Ratio:
    """Median of the ratios of all rounds, and a 95 % bootstrap interval of that median."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Times:
    """Seconds of one pass in each round, by name."""

    seconds: Mapping[str, list[float]]
    seed: int = 0

    def ms(self, name: str) -> float:
        """The median, in milliseconds."""
        return 1e3 * statistics.median(self.seconds[name])

    def speedup(self, slow: str, fast: str) -> Ratio:
        """How many times as fast as `slow` the pass `fast` is."""
        pairs = zip(self.seconds[slow], self.seconds[fast], strict=True)
        ratios = [a / b for a, b in pairs]
        return Ratio(statistics.median(ratios), *bootstrap(ratios, self.seed))


def interleaved(passes: Mapping[str, Pass], rounds: int, seed: int = 0) -> Times:
    """Warm every pass up, then time all of them in each of `rounds` rounds."""
    keep_memory()
    lasted = {name: _warm_up(once) for name, once in passes.items()}
    repeats = {name: max(1, round(LEAST_ROUND_S / took)) for name, took in lasted.items()}
    names = list(passes)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if lasted[name] < COLD_S:
                passes[name](-1)
            # The same inputs for all passes of a round, others in the next.
            draws = range(number * 1000, number * 1000 + repeats[name])
            seconds[name].append(statistics.fmean(passes[name](draw) for draw in draws))
    return Times(seconds, seed)


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """How long one call takes until the device is done with it."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    event: Any = torch.cuda.Event
    before, after = event(enable_timing=True), event(enable_timing=True)
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        before.record()
        call()
        after.record()
        after.synchronize()
    return float(before.elapsed_time(after)) / 1e3


def bootstrap(ratios: Sequence[float], seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """A 95 % interval of the median of `ratios`, as if they were independent of each other."""
    source = random.Random(seed)
    medians = sorted(statistics.median(source.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws) - 1]


def _warm_up(once: Pass) -> float:
    """Run until two passes in a row agree; returns the seconds of the last one."""
    spent, last, draw = 0.0, 0.0, -1
    while True:
        took = once(draw)
        spent += took
        steady = abs(took - last) <= STEADY * took
        if (spent >= WARMUP_S and steady) or spent >= 5 * WARMUP_S + 3 * took:
            return took
        last, draw = took, draw - 1
