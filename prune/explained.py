"""Where the time of a network goes and why it is not faster: as data, and as lines for a terminal.

Shares are of the time of the whole network. A ratio says how many times as fast something is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from prune.config import ALIGNED
from prune.records import readable
from prune.speed.protocol import Ratio

FALLING = 1.5  # twice the batch has to take that many times as long, else it is launch-bound
MOSTLY = 0.95  # share of non-zero weights from which on the zeros are not worth a word
WORDS = {"compiled": "torch.compile", "onnx": "ONNX Runtime"}


@dataclass(frozen=True)
class Side:
    """All attention, or all FFN, of a layer: heads or neurons left, and what they cost."""

    units: int
    dense_units: int
    ms: float
    cost: float  # share of the dense one's time


@dataclass(frozen=True)
class Layer:
    """`measured` and `predicted` are shares; the name is that of its module."""

    name: str
    attention: Side
    ffn: Side
    measured: float
    predicted: float


@dataclass(frozen=True)
class Rounding:
    """A width that is no multiple of ALIGNED, the next one that is, and what its FFN gains."""

    layer: str
    neurons: int
    rounded: int
    gain: Ratio


@dataclass(frozen=True)
class Split:
    """The time of one network, and its shares."""

    ms: float
    products: float  # matrix products of its layers
    attention: float  # what attentions do beside them
    activation: float
    elsewhere: float  # norms, residuals, embeddings and the head: pruning leaves them


@dataclass(frozen=True)
class Explanation:
    """Of one network at one batch and length, against the dense one it was cut from."""

    name: str
    batch: int
    length: int
    device: str
    threads: int
    dtype: str
    rounds: int
    ours: Split
    dense: Split
    speedup: Ratio
    by_operations: float  # the speedup if each operation of the layers took the same time
    nonzero: float  # share of the weights that its layers store
    matrices: int  # products of a layer each
    predicted_by: str  # "profile" or "operations"
    batches_ms: dict[int, float]
    launch_bound_below: int  # the batch; 1: at none
    layers: list[Layer]
    roundings: list[Rounding]
    rounded: Ratio | None  # of the whole network, with all widths rounded; None where all are
    dense_first: dict[str, Ratio]  # by what else the dense network could be made faster
    notes: list[str] = field(default_factory=list)


def launch_bound_below(batches_ms: Mapping[int, float]) -> int:
    """The smallest batch from which on twice the batch takes FALLING times as long.

    Below it the time is that of starting the work, whatever the batch. One more than the largest
    batch if there is none.
    """
    known = sorted(batches_ms.items())
    for (few, short), (many, long) in pairwise(known):
        if math.log(long / short) / math.log(many / few) >= math.log2(FALLING):
            return few
    return known[-1][0] + 1


def aligned(width: int, most: int) -> int:
    """The next multiple of ALIGNED, unless there are not so many neurons."""
    return min(-(-width // ALIGNED) * ALIGNED, most)


def lines(found: Explanation) -> list[str]:
    """From the whole to the layers to what else could be done."""
    threads = f"{found.threads} thread" + "s" * (found.threads > 1)
    ours, dense = found.ours, found.dense
    return [
        f"{found.name} against dense   {found.device}, {threads}, eager {found.dtype}, "
        f"{found.rounds} rounds",
        f"batch {found.batch} x {found.length}: {ours.products:.0%} of the time is in "
        f"{found.matrices} matrix products, {ours.attention:.0%} in attention, "
        f"{ours.activation:.0%} in activations, {ours.elsewhere:.0%} elsewhere ({_bound(found)})",
        f"{readable(ours.ms)} ms, dense {readable(dense.ms)} ms: {found.speedup.median:.2f}x "
        f"({found.speedup.low:.2f} to {found.speedup.high:.2f}); by the operations left in its "
        f"layers {found.by_operations:.2f}x",
        f"elsewhere, which pruning leaves: {readable(ours.elsewhere * ours.ms)} ms, dense "
        f"{readable(dense.elsewhere * dense.ms)} ms",
        *_zeros(found),
        *_roundings(found),
        _first(found),
        *found.notes,
    ]


def rows(found: Explanation) -> list[list[str]]:
    """A head, and a line for each layer: what is left, what it costs, and its share."""
    names = short([layer.name for layer in found.layers])
    table = [["", "heads", "cost", "neurons", "cost", "time", "predicted"]]
    for name, layer in zip(names, found.layers, strict=True):
        sides = [(f"{s.units} of {s.dense_units}", f"{s.cost:.0%}") for s in
                 (layer.attention, layer.ffn)]  # fmt: skip
        table.append(
            [name, *sides[0], *sides[1], f"{layer.measured:.0%}", f"{layer.predicted:.0%}"]
        )
    return table


def about_rows(found: Explanation) -> str:
    how = {
        "profile": "the latency table of prune profile",
        "operations": "the operations (prune profile measures a table)",
    }[found.predicted_by]
    return f"cost: of what the dense layer takes; time: share of the whole; predicted from {how}"


def short(names: list[str]) -> list[str]:
    """`layer 3`; with the module's name before it where there are several stacks."""
    pairs = [name.rpartition(".") for name in names]
    if len({stack for stack, _, _ in pairs}) == 1:
        return [f"layer {number}" for _, _, number in pairs]
    return [f"{stack.split('.')[-2] if '.' in stack else stack} {n}" for stack, _, n in pairs]


def _bound(found: Explanation) -> str:
    below, most = found.launch_bound_below, max(found.batches_ms)
    if below == 1:
        return "compute-bound at every batch"
    if below > most:
        return f"launch-bound up to batch {most} at least"
    if found.batch < below:
        return f"launch-bound, as below batch {below}"
    return f"compute-bound; launch-bound below batch {below}"


def _zeros(found: Explanation) -> list[str]:
    if found.nonzero > MOSTLY:
        return []
    return [
        f"{found.nonzero:.0%} of the weights that its layers store are not zero; the zeros cost as "
        "much as they do: only whole heads and neurons save time"
    ]


def _roundings(found: Explanation) -> list[str]:
    if found.rounded is None:
        return [f"all widths are multiples of {ALIGNED}"]
    names = dict(zip([one.name for one in found.layers], short([o.name for o in found.layers]),
                     strict=True))  # fmt: skip
    worth = [one for one in found.roundings if one.gain.low > 1]
    told = [
        f"{names[one.layer]}: ffn {one.neurons} neurons: {one.rounded} would be "
        f"{one.gain.median - 1:.0%} faster (round_to={ALIGNED})"
        for one in worth
    ]
    whole = found.rounded
    return [
        *told,
        f"{len(found.roundings)} widths are no multiple of {ALIGNED}: shrink.round_to={ALIGNED} "
        f"would make it {whole.median:.2f}x as fast ({whole.low:.2f} to {whole.high:.2f})",
    ]


def _first(found: Explanation) -> str:
    if not found.dense_first:
        return "before pruning at all: nothing was tried on the dense model"
    parts = [(WORDS.get(name, name), f"{r.median:.2f}x") for name, r in found.dense_first.items()]
    (name, ratio), *others = parts
    told = [f"{name} gives the dense model {ratio}", *(" ".join(other) for other in others)]
    return f"before pruning at all: {', '.join(told)}"
