"""What `target.density`, `speedup`, `latency_ms` and `params` mean for one run: a cost and a share.

Time is predicted from heads and neurons by a plane through a few networks measured at the start,
each against the dense one in turn, and held against a few measurements after the ramp.
"""

import copy
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedModel

from prune.artifact import checkpoint
from prune.config import RunConfig
from prune.errors import ConfigError
from prune.masks.anatomy import Anatomy, Left
from prune.masks.policy import Policy
from prune.masks.pruner import Pruner
from prune.nonorm import replace_norms
from prune.records import Latency, Point, readable
from prune.speed import measure
from prune.speed.lease import Lease
from prune.speed.machine import best_device, device_name
from prune.training.target import Goal, Measured

SHARES = ((0.5, 1.0), (1.0, 0.5), (0.5, 0.5), (0.25, 0.25), (0.5, 0.1))  # of heads and of neurons
CLOSE = 0.03  # a target is met within this share of it
TRIAL_ROUNDS = 15  # or a quarter of those asked for: there are a dozen trials, and one last word
FILE = "measured.json"  # of a checkpoint


def goal_of(
    config: RunConfig, policy: Policy, model: PreTrainedModel, dense: PreTrainedModel, lease: Lease
) -> Goal | None:
    """The goal that the run's `target` states; None if it states none, or one that topk meets.

    Raises ConfigError for a target that the network has met before pruning.
    """
    target = config.target
    parts = [part for part in (policy.attention, policy.ffn, *policy.rules) if part]
    if not parts:
        return None
    if target.density is not None and not all(part.algorithm.ranks for part in parts):
        return Goal(lambda p: p.density(), target.density, f"target.density={target.density:g}")
    if target.params is not None:
        anatomy = Anatomy(model, config.shrink.round_to)
        words = f"target.params={readable(target.params)}"
        share = target.params / anatomy.parameters
        _must_shrink(words, share, f"the network has {anatomy.parameters:,} parameters")
        return Goal(lambda p: anatomy.left(p).parameters / anatomy.parameters, share, words)
    if target.speedup is not None or target.latency_ms is not None:
        return _in_time(config, Anatomy(model, config.shrink.round_to), dense, lease)
    return None


def verdict(
    config: RunConfig,
    point: Point,
    parameters: int,
    density: float,
    measured: Measured | None = None,
) -> str:
    """One line: what was asked, what came out, and whether that is within 3 %. "" without one.

    parameters: of the dense network; density: of the parts that are pruned; measured: by what the
    run was steered, if that is a time.
    """
    target, cell = config.target, cell_of(config, point.latency)
    asked, got, unit = next(
        (
            found
            for found in (
                (target.density, density, ""),
                (target.params, point.density.model * parameters, ""),
                (target.speedup, cell.speedup, "x"),
                (target.latency_ms, cell.pruned_ms, " ms"),
            )
            if found[0] is not None
        ),
        (None, None, ""),
    )
    if not asked or not got:
        return ""
    interval = cell.speedup_low / cell.speedup, cell.speedup_high / cell.speedup
    low, high = (got * s for s in interval)
    # A machine that others share may be faster or slower now; a ratio does not see it.
    then_ms = measured.usual_ms if measured and target.latency_ms else 0.0
    then = then_ms / cell.speedup
    if _close(got, asked):
        met = "met"
    elif unit and low <= asked <= high:
        met = f"met within the noise of the measurement ({readable(low)} to {readable(high)})"
    elif _close(then, asked) or then * interval[0] <= asked <= then * interval[1]:
        then_now = f"took {readable(then_ms)} ms; now it takes {readable(cell.dense_ms)}"
        met = f"met when the dense network {then_now}"
    else:
        off, spread = abs(got / asked - 1), measured.spread if measured else 0.0
        why = f"; measurements on the way differ by {spread:.0%}" if off <= spread else ""
        met = f"missed by {off:.0%}{why}"
    return f"target      {readable(asked, 4)}{unit} {met}: {readable(got, 4)}{unit}"


def _close(got: float, asked: float) -> bool:
    return abs(got / asked - 1) <= CLOSE


def cell_of(config: RunConfig, latency: list[Latency]) -> Latency:
    """The cell of the grid that the target is about: the first, unless it says another."""
    asked = asked_cell(config)
    return next((c for c in latency if (c.batch, c.length) == asked), latency[0])


def asked_cell(config: RunConfig) -> tuple[int, int]:
    batch, length = config.measure.grid[0]
    return config.target.batch or batch, config.target.length or length


def _must_shrink(words: str, share: float, found: str) -> None:
    if share >= 1:
        raise ConfigError(f"{words} is met before pruning: {found}")


def _in_time(config: RunConfig, anatomy: Anatomy, dense: PreTrainedModel, lease: Lease) -> Goal:
    target, trial = config.target, _Trial(config, dense, lease)
    time = Time(anatomy, trial, absolute=target.latency_ms is not None)
    if target.speedup is not None:
        share, words = 1 / target.speedup, f"target.speedup={target.speedup:g}"
    else:
        assert target.latency_ms is not None
        share = target.latency_ms / time.dense_ms
        words = f"target.latency_ms={target.latency_ms:g}"
    _must_shrink(words, share / time.start, f"it takes {readable(time.start * time.dense_ms)} ms")
    return Goal(lambda p: time(p) / time.start, share / time.start, words, time)


@dataclass
class _Trial:
    """Measures networks of given shapes against the dense one."""

    config: RunConfig
    dense: PreTrainedModel
    lease: Lease
    dense_ms: list[float] = field(default_factory=list)  # of each measurement

    @property
    def usual_ms(self) -> float:
        """What the dense network takes: on a machine that others share, one time says little."""
        return statistics.median(self.dense_ms)

    def share(self, heads: list[int], widths: list[int]) -> float:
        """Time of a network of that shape / time of the dense one."""
        small = copy.deepcopy(self.dense)
        checkpoint.reshape(small, checkpoint.Shape(heads, widths))
        if self.config.swap.nonorm:
            replace_norms(small)
        small.to(best_device()), self.dense.to(best_device())  # type: ignore[arg-type]
        batch, length = asked_cell(self.config)
        asked = self.config.measure
        rounds = max(min(asked.rounds, TRIAL_ROUNDS), asked.rounds // 4)
        with self.lease.exclusive(), measure.threads(asked.threads):
            cell = measure.latency(self.dense, small, batch, length, rounds)
        self.dense_ms.append(cell.dense_ms)
        return 1 / cell.speedup


class Time:
    """Predicted time of what would be left / time of the dense network.

    absolute: / the time that it took at the start, `dense_ms`, whatever it has taken since.
    """

    def __init__(self, anatomy: Anatomy, trial: _Trial, absolute: bool = False) -> None:
        self.anatomy, self.trial, self.absolute = anatomy, trial, absolute
        self.seen: list[tuple[float, float, float]] = []  # shares of heads, neurons, time
        full = anatomy.dense  # smaller than the dense network, if it was pruned before
        whole = checkpoint.Shape(full.heads, full.widths) == checkpoint.shape_of(trial.dense)
        self.start = 1.0 if whole else trial.share(full.heads, full.widths)
        start = [(1.0, 1.0, self.start)]  # as in `seen`; the plane goes through these networks
        for heads, neurons in SHARES:
            left = self._shape(heads, neurons)
            start.append((*self._shares(left), trial.share(left.heads, left.widths)))
        self.dense_ms = trial.usual_ms
        table = torch.tensor(start, dtype=torch.float64)
        ones = torch.ones(len(start), 1, dtype=torch.float64)
        # Relative errors count the same for fast and slow networks.
        rows = torch.cat([ones, table[:, :2]], 1) / table[:, 2:]
        self.plane = torch.linalg.lstsq(rows, ones).solution[:, 0].tolist()

    def __call__(self, pruner: Pruner) -> float:
        # One measurement is off by a few percent, now and then by more; their median is by less.
        factor = statistics.median(self._ratios() or [1.0])
        slower = self.usual_ms / self.dense_ms if self.absolute else 1.0
        return slower * factor * self._predicted(*self._shares(self.anatomy.left(pruner)))

    @property
    def usual_ms(self) -> float:
        return self.trial.usual_ms

    @property
    def spread(self) -> float:
        ratios = self._ratios()
        return max(ratios) / min(ratios) - 1 if ratios else 0.0

    def correct(self, pruner: Pruner) -> None:
        """Measure a network of the shape that the masks have now, and take note of it."""
        pruner.remask(evaluation=True)
        left = self.anatomy.left(pruner)
        share = self.trial.share(left.heads, left.widths)
        self.seen.append((*self._shares(left), share))
        pruner.apply()

    def write(self, folder: Path) -> None:
        """What was measured so far, on which device."""
        kept = {
            "device": device_name(best_device()),
            "dense_ms": self.trial.dense_ms,
            "seen": self.seen,
        }
        (folder / FILE).write_text(json.dumps(kept))

    def take_up(self, folder: Path) -> None:
        """Go on with that, where the device is the same; the plane is one of today."""
        kept = json.loads((folder / FILE).read_text()) if (folder / FILE).exists() else {}
        if kept.get("device") == device_name(best_device()):
            self.trial.dense_ms = kept["dense_ms"] + self.trial.dense_ms
            self.seen = [tuple(each) for each in kept["seen"]]

    def _ratios(self) -> list[float]:
        """Measured / predicted, each time that the network was measured on the way."""
        return [share / self._predicted(heads, neurons) for heads, neurons, share in self.seen]

    def _predicted(self, heads: float, neurons: float) -> float:
        fixed, by_heads, by_neurons = self.plane
        return float(fixed + by_heads * heads + by_neurons * neurons)

    def _shape(self, heads: float, neurons: float) -> Left:
        dense, groups = self.anatomy.dense, [a.group for a in self.anatomy.found.attention]
        return Left(
            [round(heads * n / g) * g for n, g in zip(dense.heads, groups, strict=True)],
            [self.anatomy.rounded(round(neurons * n), n) for n in dense.widths],
            0,
        )

    def _shares(self, left: Left) -> tuple[float, float]:
        dense = self.anatomy.dense
        heads = sum(left.heads) / max(1, sum(dense.heads))
        return heads, sum(left.widths) / max(1, sum(dense.widths))
