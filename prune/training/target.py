"""Drives a run to a stated cost: a share of the weights, of the parameters, or of the time.

The dial of the Pruner makes every mask smaller or larger at once. Along the ramp, the cost that is
wanted goes from 1 (the dense network) to the goal, and every few steps the dial is turned until the
masks, as they would be shipped, have that cost. So neither a penalty weight nor a cut-off has to be
guessed; a penalty may still act, and then decides where the cost is saved, not how much.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from transformers import TrainerCallback, TrainerState

from prune.errors import ConfigError
from prune.masks.groups import OFF
from prune.masks.pruner import Pruner
from prune.masks.schedule import Ramp
from prune.training.resumable import Companion

FAR = 64.0  # scores do not come near: everything is alive at -FAR and dead at FAR
EXACT = 1e-4  # of the dial
CORRECTIONS = 8  # of a cost that is a time, at equal distances after the ramp

Cost = Callable[
    [Pruner], float
]  # share of that at the start, in [0, 1], by the masks as they stand


class Measured(Companion, Protocol):
    """A cost that is a time: held against measurements, which a checkpoint keeps."""

    @property
    def usual_ms(self) -> float:
        """Of the dense network, which the cost is a share of."""

    @property
    def spread(self) -> float:
        """By what share the measurements of the pruned network differ from each other at most."""

    def correct(self, pruner: Pruner) -> None:
        """Hold the cost against a measurement of what the masks would leave now."""


@dataclass(frozen=True)
class Goal:
    """`cost` is to end at `share` of what it is at the start; `words` say what was asked."""

    cost: Cost
    share: float
    words: str
    measured: Measured | None = None
    every: int = 16  # steps between two turns


def steer(pruner: Pruner, goal: Goal) -> float:
    """Turn the dial to the cost that is wanted at this step; returns the cost that is met."""
    progress = pruner.ramp.progress(pruner.step)
    wanted = 1 + (goal.share - 1) * progress
    if progress == 0:
        return 1.0
    pruner.dial = _find(lambda x: cost_at(pruner, goal.cost, x), wanted, pruner.dial)
    pruner.apply()
    return goal.cost(pruner)


def cost_at(pruner: Pruner, cost: Cost, dial: float) -> float:
    """The cost with the dial there. Leaves the masks of that dial behind: `apply` comes next."""
    pruner.dial = dial
    pruner.remask(evaluation=True)
    return cost(pruner)


def reach(pruner: Pruner, goal: Goal) -> None:
    """Raises ConfigError if even with all dead that may die the cost stays above the goal."""
    before, pruner.dial = pruner.dial, FAR
    pruner.remask(evaluation=True)
    for tie in pruner.ties:
        if tie.algorithm.ranks or tie.algorithm.cuts:
            tie.mask = torch.zeros_like(tie.mask)  # the floor keeps ties, and at first all are
    least = goal.cost(pruner)
    pruner.dial = before
    pruner.apply()
    if least > goal.share:
        raise ConfigError(
            f"{goal.words} cannot be reached: with all dead that these parts may lose, "
            f"{least:.0%} of the cost is left and {goal.share:.0%} is asked for; "
            "prune more parts, or lower min_density"
        )


def _find(cost: Callable[[float], float], wanted: float, near: float) -> float:
    """The dial whose cost is closest to `wanted`; costs fall as the dial rises."""
    low, high = _bracket(cost, wanted, near)
    while high - low > EXACT:
        middle = (low + high) / 2
        if cost(middle) > wanted:
            low = middle
        else:
            high = middle
    return min((low, high), key=lambda x: abs(cost(x) - wanted))


def _bracket(cost: Callable[[float], float], wanted: float, near: float) -> tuple[float, float]:
    """A dial whose cost is too high and one whose cost is not, starting around `near`."""
    if near == OFF:
        return -FAR, FAR
    width = 0.05
    low, high = near - width, near + width
    while cost(low) <= wanted and low > -FAR:
        low, width = low - width, 2 * width
    width = 0.05
    while cost(high) > wanted and high < FAR:
        high, width = high + width, 2 * width
    return low, high


@final
class Steering(TrainerCallback):
    """Steers a SparseTrainer to its goal: every few steps, where the ramp ends, and at the end."""

    def __init__(self, trainer: Any, goal: Goal) -> None:
        self.trainer, self.goal = trainer, goal

    def on_train_begin(self, args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        if state.global_step == 0:
            reach(self.trainer.pruner, self.goal)

    def on_step_end(self, args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        pruner, step = self.trainer.pruner, state.global_step
        ramp = pruner.ramp
        turns = {ramp.begin + 1, ramp.end + 1, ramp.total}
        if self.goal.measured and step in (after := corrections(ramp)):
            self.goal.measured.correct(pruner)
            turns |= after
        if step % self.goal.every == 0 or step in turns:
            steer(pruner, self.goal)


def corrections(ramp: Ramp) -> set[int]:
    """The steps at which the cost is held against a measurement; the network recovers from each."""
    final = ramp.total - ramp.end
    return {ramp.end + 1 + part * final // CORRECTIONS for part in range(CORRECTIONS)}
