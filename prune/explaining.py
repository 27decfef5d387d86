"""Measures where the time of a pruned network goes, layer by layer, and why it is not faster.

The network, the dense one it was cut from, and itself with widths rounded up run in turn, each
with clocks around its layers and without; so do smaller batches.
"""

import copy
import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import torch
from transformers import PreTrainedModel

from prune.artifact import checkpoint
from prune.artifact.shape import outline_of
from prune.explained import Explanation, Layer, Rounding, Side, Split, aligned, launch_bound_below
from prune.nonorm import replace_norms
from prune.opening import Opened, dense_of
from prune.speed import measure
from prune.speed.inputs import one_pass
from prune.speed.latency import Profile
from prune.speed.lease import Lease
from prune.speed.machine import best_device
from prune.speed.memory import check_fits, fitting
from prune.speed.parts import Part, Spans, clocked, operations, parts_of, seconds
from prune.speed.protocol import Pass, Ratio, bootstrap, interleaved
from prune.speed.runtimes import Eager
from prune.speed.workload import Workload
from prune.unpruned import RUNTIMES, faster_unpruned

LARGEST = 8  # the batch up to which this is looked for, at least
OURS, DENSE, ROUNDED = "ours", "dense", "rounded"


@dataclass(frozen=True)
class Asked:
    """A cell, and which of RUNTIMES are tried on the dense network."""

    batch: int
    length: int
    rounds: int = 7
    threads: int | None = None
    seed: int = 0
    first: tuple[str, ...] = tuple(RUNTIMES)


@dataclass
class Network:
    """One that is measured; `spans` by the draw of its inputs."""

    model: PreTrainedModel
    parts: list[Part]
    spans: dict[int, Spans]

    def median(self, what: Callable[[Spans], float]) -> float:
        return statistics.median(map(what, self.spans.values()))

    def share(self, what: Callable[[Spans], float]) -> float:
        """Of the whole pass that it is in."""
        return self.median(lambda spans: what(spans) / spans[""])


def explain(found: Opened, asked: Asked, profile: Profile | None, lease: Lease) -> Explanation:
    """Measure the network of a run or folder. profile: the latency table of that very setting.

    Raises PolicyError for an architecture without a table, ConfigError for a batch too large.
    """
    found.model.to(best_device())  # type: ignore[arg-type]
    networks = _networks(found.model)
    batches = sorted({*(2**i for i in range(int(math.log2(max(asked.batch, LARGEST))) + 1)),
                      asked.batch})  # fmt: skip
    works = {batch: Workload(batch, asked.length) for batch in batches}
    check_fits(networks[DENSE].model, list(works.values()))
    with measure.threads(asked.threads), lease.exclusive():
        with fitting(f"batch {asked.batch} x {asked.length}"):
            times = interleaved(_passes(networks, works, asked), asked.rounds, asked.seed)
            first, notes = faster_unpruned(
                networks[DENSE].model, works[asked.batch], asked.first, asked.rounds, asked.seed
            )
        cell = measure.cell(times, (DENSE, OURS), works[asked.batch], Eager(found.model))
    layers, by_operations, predicted_by = _layers(networks, works[asked.batch], profile)
    weights = measure.count(found.model)
    batches_ms = {b: times.ms(OURS if b == asked.batch else f"batch {b}") for b in batches}
    return Explanation(
        *(found.name, asked.batch, asked.length, cell.device, cell.threads, cell.dtype),
        rounds=asked.rounds,
        ours=_split(networks[OURS], times.ms(OURS)),
        dense=_split(networks[DENSE], times.ms(DENSE)),
        speedup=times.speedup(DENSE, OURS),
        by_operations=by_operations,
        nonzero=weights.nonzero / max(1, weights.prunable),
        matrices=sum(len(part.products) for part in networks[OURS].parts),
        predicted_by=predicted_by,
        batches_ms=batches_ms,
        launch_bound_below=launch_bound_below(batches_ms),
        layers=layers,
        roundings=_roundings(networks),
        rounded=times.speedup(OURS, ROUNDED) if ROUNDED in networks else None,
        dense_first=first,
        notes=notes,
    )


def _networks(model: PreTrainedModel) -> dict[str, Network]:
    dense = dense_of(model)
    models = {OURS: model, DENSE: dense}
    shape, most = checkpoint.shape_of(model), checkpoint.shape_of(dense).widths
    widths = [aligned(w, m) for w, m in zip(shape.widths, most, strict=True)]
    if widths != shape.widths:
        rounded = copy.deepcopy(dense)
        checkpoint.reshape(rounded, dataclasses.replace(shape, widths=widths))
        outline = outline_of(model)
        if outline and "nonorm" in outline.swaps:
            replace_norms(rounded)
        models[ROUNDED] = rounded.to(model.device).eval()  # type: ignore[arg-type]
    return {name: Network(one, parts_of(one), {}) for name, one in models.items()}


def _passes(
    networks: Mapping[str, Network], works: Mapping[int, Workload], asked: Asked
) -> dict[str, Pass]:
    """Each network with clocks and without, and ours at the other batches."""
    work, passes = works[asked.batch], dict[str, Pass]()
    for name, network in networks.items():
        passes[f"{name}, clocked"] = _clocked(network, work, asked.seed)
        passes[name] = work.timed(Eager(network.model), network.model, asked.seed)
    ours = networks[OURS].model
    for batch, other in works.items():
        if batch != asked.batch:
            passes[f"batch {batch}"] = other.timed(Eager(ours), ours, asked.seed)
    return passes


def _clocked(network: Network, work: Workload, seed: int) -> Pass:
    names = [name for part in network.parts for name in (part.layer, part.rest, *part.products)]

    def once(draw: int) -> float:
        (batch,) = work.batches(network.model, seed * 1_000_003 + draw)
        with torch.inference_mode():
            spans = clocked(network.model, names, partial(one_pass, network.model, batch))
        if draw >= 0:  # else it is the warm-up
            network.spans[draw] = spans
        return spans[""]

    return once


def _split(network: Network, ms: float) -> Split:
    parts = network.parts
    products = network.share(lambda spans: sum(part.product_s(spans) for part in parts))
    attention, activation = (
        network.share(lambda spans, own=own: sum(part.rest_s(spans) for part in own))  # type: ignore[misc]
        for own in ([p for p in parts if p.kind == kind] for kind in ("attention", "ffn"))
    )
    return Split(ms, products, attention, activation, 1 - products - attention - activation)


def _layers(
    networks: Mapping[str, Network], work: Workload, profile: Profile | None
) -> tuple[list[Layer], float, str]:
    """The layers, the speedup by operations, and what the shares are predicted by."""
    ours, dense = networks[OURS], networks[DENSE]
    (batch,) = work.batches(ours.model, 0)
    counts = []
    for network in (ours, dense):
        with torch.inference_mode():
            call = partial(one_pass, network.model, batch)
            counts.append(operations(network.model, network.parts, call))
    names = list(dict.fromkeys(part.layer for part in ours.parts))
    places = [[i for i, p in enumerate(ours.parts) if p.layer == name] for name in names]
    predicted = [sum(counts[0][i] for i in those) / max(1.0, sum(counts[0])) for those in places]
    shape = checkpoint.shape_of(ours.model)
    by_table = profile is not None and len(shape.heads) == len(shape.widths) == len(names)
    if profile is not None and by_table:
        whole = profile.predict_ms(shape.heads, shape.widths)
        pairs = zip(shape.heads, shape.widths, strict=True)
        predicted = [profile.layer_ms(*pair) / whole for pair in pairs]
    layers = [
        Layer(
            name,
            _side(ours, dense, those, "attention"),
            _side(ours, dense, those, "ffn"),
            ours.share(itemgetter(name)),
            share,
        )
        for name, those, share in zip(names, places, predicted, strict=True)
    ]
    ratio = sum(counts[1]) / max(1.0, sum(counts[0]))
    return layers, ratio, "profile" if by_table else "operations"


def _side(ours: Network, dense: Network, places: Sequence[int], kind: str) -> Side:
    mine, others = (
        [network.parts[i] for i in places if network.parts[i].kind == kind]
        for network in (ours, dense)
    )
    units, most = (sum(part.units for part in parts) for parts in (mine, others))
    if not mine:
        return Side(0, 0, 0.0, 0.0)
    ms = 1e3 * ours.median(lambda spans: seconds(mine, spans))
    return Side(units, most, ms, statistics.median(_ratios((ours, mine), (dense, others))))


def _ratios(one: tuple[Network, list[Part]], other: tuple[Network, list[Part]]) -> list[float]:
    """Time of parts of one network over that of parts of another, on the same inputs."""
    (network, parts), (against, others) = one, other
    draws = sorted(network.spans.keys() & against.spans.keys())
    times = ((seconds(parts, network.spans[d]), seconds(others, against.spans[d])) for d in draws)
    return [a / b for a, b in times]


def _roundings(networks: Mapping[str, Network]) -> list[Rounding]:
    if ROUNDED not in networks:
        return []
    ours, rounded = networks[OURS], networks[ROUNDED]
    found = []
    for part, other in zip(ours.parts, rounded.parts, strict=True):
        if part.units != other.units:
            ratios = _ratios((ours, [part]), (rounded, [other]))
            gain = Ratio(statistics.median(ratios), *bootstrap(ratios))
            found.append(Rounding(part.layer, part.units, other.units, gain))
    return found
