"""Density and paired latency of one artifact against the dense network.

How time is taken is in `prune.speed.protocol`; whatever is compared, training, export and bench
come here for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prune.masks import structure
from prune.records import Density, Latency
from prune.speed.machine import clock_mhz, device_name
from prune.speed.memory import check_fits, fitting
from prune.speed.protocol import Times, interleaved
from prune.speed.runtimes import Eager, Runtime
from prune.speed.workload import Workload


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


def latency(
    dense: PreTrainedModel,
    pruned: PreTrainedModel,
    batch: int,
    length: int,
    rounds: int = 7,
    seed: int = 0,
) -> Latency:
    """Paired latency of one pass over `batch` inputs of `length` tokens, in eager mode.

    Of a network that reads pictures, `length` is their side in pixels; one that writes text writes
    some. The numbers are as precise as those of the networks.
    """
    return pair(Eager(dense), Eager(pruned), pruned, Workload(batch, length), rounds, seed)


def pair(
    dense: Runtime,
    pruned: Runtime,
    model: PreTrainedModel,
    work: Workload,
    rounds: int = 7,
    seed: int = 0,
) -> Latency:
    """The same of two runtimes, checked before; `model` says what they read."""
    check_fits(model, [work])
    passes = {name: work.timed(r, model, seed) for name, r in (("a", dense), ("b", pruned))}
    with fitting(f"batch {work.batch} x {work.length}"):
        work.check((dense, pruned), model, seed)
        times = interleaved(passes, rounds, seed)
    return cell(times, ("a", "b"), work, pruned)


def cell(times: Times, names: tuple[str, str], work: Workload, runtime: Runtime) -> Latency:
    """What was measured of two passes, dense and pruned: medians, their ratio, and on what."""
    speedup = times.speedup(*names)
    return Latency(
        batch=work.batch,
        length=work.length,
        runtime=runtime.name,
        dense_ms=times.ms(names[0]),
        pruned_ms=times.ms(names[1]),
        speedup=speedup.median,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
        rounds=len(times.seconds[names[0]]),
        dtype=runtime.dtype,
        padded=work.padded,
        device=device_name(runtime.device),
        threads=torch.get_num_threads(),
        clock_mhz=clock_mhz(runtime.device),
    )


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """With `number` threads of the processor, or as many as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
