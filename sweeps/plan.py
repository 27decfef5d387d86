"""Points -> trials: composed and checked, with their run ids, and the runs they need first."""

import shlex
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prune.compose import Bases, load_many, needs
from prune.config import RunConfig, as_dict, run_id
from prune.overrides import overrides_of
from prune.records import Record
from sweeps.space import Point, Space

SLOTS = 2  # runs at once, if nobody says otherwise
PREVIEW = 5  # trials of a search that are composed and shown before it begins
KIND = ("experiment", "task", "model", "train")  # equal in two runs: they cost about the same


@dataclass(frozen=True)
class Trial:
    number: int  # 1, 2, ... in the order of the grid; 0 for a run that others need
    label: str
    overrides: tuple[str, ...]  # of `prune train`, with the group
    config: RunConfig
    point: Point | None = None

    @property
    def run_id(self) -> str:
        return run_id(self.config)

    @property
    def name(self) -> str:
        return f"#{self.number}  {self.label}" if self.number else self.label

    @property
    def command(self) -> str:
        return " ".join(["prune", "train", *map(_quoted, self.overrides)])


@dataclass(frozen=True)
class Plan:
    space: Space
    group: str  # folder below runs/
    first: list[Trial]  # what the trials need: run before them, one after the other, all cores
    trials: list[Trial]  # of a grid all of them; of a search the first ones it would ask for
    slots: int
    repeated: int = 0  # points that are the same run as an earlier one

    @property
    def total(self) -> int:
        return self.space.search.trials or len(self.trials)

    def size(self) -> str:
        """21 trials (7 blocks x 3 densities)."""
        how = self.space.search
        if how.samples:
            limits = "".join(f", {constraint}" for constraint in how.constraints)
            return f"{how.trials} trials ({how.sampler} for {' and '.join(how.objectives)}{limits})"
        axes = " x ".join(f"{len(a.values)} {_plural(a.name)}" for a in self.space.axes)
        same = f", {self.repeated} of them the same" if self.repeated else ""
        trials = "trial" if len(self.trials) == 1 else "trials"
        return f"{len(self.trials)} {trials} ({axes}{same})" if axes else f"1 {trials}"


def plan(space: Space) -> Plan:
    """Compose and check every point. Raises ConfigError with the problems of all of them."""
    group = space.group or space.name
    points = _first_asked(space) if space.search.samples else space.points()
    trials: dict[str, Trial] = {}
    for point, config in zip(points, load_many([p.overrides for p in points], group), strict=True):
        trial = trial_of(space, point, len(trials) + 1, config)
        trials.setdefault(trial.run_id, trial)
    first = [
        Trial(0, c.experiment, (*overrides_of(c), f"group={c.group}"), c)
        for c in needed(t.config for t in trials.values())
    ]
    repeated = len(points) - len(trials)
    return Plan(
        space, group, first, [*trials.values()], space.settings.get("slots", SLOTS), repeated
    )


def trial_of(
    space: Space,
    point: Point,
    number: int,
    config: RunConfig | None = None,
    bases: Bases | None = None,
) -> Trial:
    """The run of a point, composed and checked if that was not done. Raises ConfigError."""
    group = space.group or space.name
    config = config or load_many([point.overrides], group, bases)[0]
    return Trial(number, label(point), (*point.overrides, f"group={group}"), config, point)


def _first_asked(space: Space) -> list[Point]:
    from sweeps.study.search import preview  # late: a grid is planned without Optuna

    return [space.at(values) for values in preview(space, min(PREVIEW, space.search.trials))]


def needed(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """Every run that must exist before these, in an order that works."""
    found: dict[str, RunConfig] = {}
    for config in configs:
        for other in needs(config):
            if run_id(other) not in found:
                found |= {run_id(c): c for c in needed([other])}
                found[run_id(other)] = other
    return list(found.values())


def label(point: Point) -> str:
    """32x32 density=0.5: what tells this point from the others."""
    words = []
    for axis, value in point.labels.items():
        key = axis.rpartition(".")[2]
        of_one_key = any(o.lstrip("+").startswith(f"{axis}=") for o in point.overrides)
        words.append(f"{key}={value}" if of_one_key and key != "block" else value)
    return " ".join(words) or "one run"


def estimate(
    wanted: Sequence[Trial], finished: Sequence[Record], slots: int, times: float = 1
) -> tuple[float | None, int]:
    """Seconds that `wanted`, its trials `times` times, will take; by how many runs of their kind.

    None if a trial's kind has none; a run that others need counts only if its kind is known.
    """
    costs: dict[str, list[float]] = {}
    for record in finished:
        costs.setdefault(kind(record.config), []).append(record.seconds)
    kinds = {trial.run_id: kind(as_dict(trial.config)) for trial in wanted}
    total = 0.0
    for trial in wanted:
        cost = costs.get(kinds[trial.run_id])
        if cost is None and trial.number:
            return None, 0
        total += statistics.median(cost or [0]) * (times / slots if trial.number else 1)
    return total, sum(len(costs.get(kind, [])) for kind in set(kinds.values()))


def kind(config: dict[str, Any]) -> str:
    """Equal for runs that cost about the same."""
    return repr([config.get(key) for key in KIND])


def _plural(axis: str) -> str:
    word = axis.rpartition(".")[2]
    if word.endswith("y"):
        return word[:-1] + "ies"
    return word if word.endswith("s") else word + "s"


def _quoted(override: str) -> str:
    # Brackets stay as they are, to be read; no shell looks for a file called `key=1`.
    plain = override.replace("[", "").replace("]", "")
    return override if shlex.quote(plain) == plain else shlex.quote(override)
