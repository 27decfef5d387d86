"""One run, several targets: runs that are forked from the rising trunk of another one.

The trunk is pruned towards the hardest target. On its way it passes the others; there it leaves a
checkpoint, from which a run of its own goes on: it keeps what is left at that moment, recovers, and
is shrunk and measured like any run. So k targets cost one ramp and k recoveries, not k of both;
who lost more recovers longer.
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, final

from transformers import TrainerCallback, TrainerState

from prune.config import RunConfig, run_id
from prune.errors import MissingInputError, StoreError
from prune.masks.policy import Policy
from prune.masks.schedule import Fitted, Ramp
from prune.store import Store
from prune.store.folder import CHECKPOINTS
from prune.training.checkpoints import Checkpoint, Checkpoints
from prune.training.resumable import RunTrainer

FOLDER = "forks"  # below the checkpoints of the trunk


def forked(config: RunConfig) -> list[RunConfig]:
    """The runs that are forked from the run `config`: one for each of `train.targets`."""
    train = dataclasses.replace(config.train, targets=[], trunk=run_id(config))
    found = []
    for value in config.train.targets:
        asked: dict[str, Any] = {own_target(config)[0]: value}
        target = dataclasses.replace(config.target, **asked)
        found.append(dataclasses.replace(config, target=target, train=train))
    return found


def own_target(config: RunConfig) -> tuple[str, float]:
    """The name of the run's target, and its value."""
    (name,) = config.target.asked()
    return name, float(getattr(config.target, name))


def share_of(config: RunConfig, value: float, share: float) -> float:
    """The share of the dense cost that a target `value` means, where the run's own means `share`.

    A speedup is the inverse of a cost; density, parameters and latency are costs.
    """
    name, own = own_target(config)
    return share * (own / value if name == "speedup" else value / own)


def fork_step(ramp: Ramp, share: float, hardest: float) -> int:
    """The first step at which a trunk that ends at the cost `hardest` has passed `share`."""
    wanted = (1 - share) / (1 - hardest)
    return next(step for step in range(ramp.begin, ramp.total) if ramp.progress(step) >= wanted)


def places(
    folder: Path, config: RunConfig, ramp: Ramp, share: float
) -> dict[int, list[Checkpoints]]:
    """Step -> where the forks of that step are kept; `share` is what the run's own target means."""
    found: dict[int, list[Checkpoints]] = {}
    for value in config.train.targets:
        step = fork_step(ramp, share_of(config, value, share), share)
        found.setdefault(step, []).append(place(folder, value))
    return found


def place(folder: Path, value: float) -> Checkpoints:
    """Where a trunk keeps the fork for the target `value`, below its checkpoints in `folder`."""
    return Checkpoints(folder / FOLDER / f"{value:g}")


def fork_of(config: RunConfig, store: Store) -> Checkpoint | None:
    """The checkpoint that a forked run goes on from; None for a run that starts by itself.

    Raises MissingInputError if its trunk has none (any more).
    """
    trunk = config.train.trunk
    if trunk is None:
        return None
    name, value = own_target(config)
    with contextlib.suppress(StoreError):
        folder = Path(store.find(trunk).path)
        if found := place(folder / CHECKPOINTS, value).latest():
            return found
    raise MissingInputError(
        f"run {trunk}, from which target.{name}={value:g} is forked, has kept no checkpoint for it"
        f"\nrun it again: prune runs rm {trunk}, then its own command"
    )


def grafted(policy: Policy, ramp: Ramp, fork: Checkpoint) -> Policy:
    """The policy of a forked run: the ramp of its trunk, which ends where it was forked.

    The recovery is that of the trunk, longer by a share of what is left of the ramp: as much as the
    trunk had gone of its way, since who lost more needs more. The learning rate is that of a run of
    its length.
    """
    more = ramp.progress(fork.step) * (ramp.end - fork.step)
    total = fork.step + ramp.total - ramp.end + round(more)
    short = dataclasses.replace(ramp, total=total, end=fork.step)
    return dataclasses.replace(policy, schedule=Fitted(ramp=short))


@final
class Forks(TrainerCallback):
    """Leaves a checkpoint of a RunTrainer at certain steps, in each of the places for that step.

    To be added behind what steers the pruner, so that each is taken with the masks of its step.
    """

    def __init__(self, trainer: RunTrainer, places: dict[int, list[Checkpoints]]) -> None:
        self.trainer, self.places = trainer, places

    def on_step_end(self, args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        for where in self.places.get(state.global_step, ()):
            self.trainer.keep(where)
