"""How a sweep looks for good points: a grid takes them all, a sampler asks for those that promise.

sampler: tpe                        # grid (all points, the default), tpe, nsga2, random, qmc
trials: 40                          # not for a grid
objectives: [quality, speedup]
constraints: [drop <= 2, density <= 0.3]
early_stop: {margin: 0.2}           # see early_stop.py; off by default, of a grid too
"""

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prune.errors import ConfigError, UsageError, unknown
from prune.records import Record
from sweeps.early_stop import EarlyStop, early_stop

GRID = "grid"
SAMPLERS = (GRID, "tpe", "nsga2", "random", "qmc")
# What can be asked for, and whether more of it is better.
MEASURES = {
    "quality": True,
    "speedup": True,
    "density": False,
    "latency_ms": False,  # of the first cell of measure.grid
    "size_mb": False,
    "drop": False,  # of quality against the dense network
}
SIGNS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Constraint:
    measure: str
    sign: str  # <= or >=
    bound: float

    def __str__(self) -> str:
        return f"{self.measure} {self.sign} {self.bound:g}"

    def violation(self, measured: Mapping[str, float]) -> float:
        """How far it is missed; 0 or less: it holds. What was not measured holds nothing."""
        if self.measure not in measured:
            return 1.0
        above = measured[self.measure] - self.bound
        return above if self.sign == "<=" else -above


@dataclass(frozen=True)
class Search:
    sampler: str = GRID
    trials: int = 0
    objectives: tuple[str, ...] = ("quality", "speedup", "density")
    constraints: tuple[Constraint, ...] = ()
    early_stop: EarlyStop | None = None

    @property
    def samples(self) -> bool:
        return self.sampler != GRID

    def measures(self) -> list[str]:
        """All that matters: what is looked for, and what is limited."""
        limited = [constraint.measure for constraint in self.constraints]
        return list(dict.fromkeys([*self.objectives, *limited]))

    def directions(self) -> list[Literal["maximize", "minimize"]]:
        return ["maximize" if MEASURES[name] else "minimize" for name in self.objectives]


KEYS = ("sampler", "trials", "objectives", "constraints", "early_stop")


def search(content: Mapping[str, Any]) -> Search:
    """From the keys of a sweep file or of the command line. Raises ConfigError or UsageError."""
    sampler = str(content.get("sampler", GRID))
    if sampler not in SAMPLERS:
        raise UsageError(unknown("sampler", sampler, SAMPLERS))
    objectives = tuple(_words(content.get("objectives", ["quality", "speedup", "density"])))
    for name in objectives:
        if name not in MEASURES:
            raise UsageError(unknown("objective", name, MEASURES))
    if not objectives or len(set(objectives)) < len(objectives):
        raise UsageError("objectives: name at least one, each once")
    constraints = tuple(map(constraint, _words(content.get("constraints", []))))
    trials = content.get("trials", 0)
    if sampler != GRID and not (str(trials).isdecimal() and int(trials) > 0):
        raise UsageError(f"sampler={sampler} needs trials=N, a whole number of at least 1")
    count, stop = int(trials) if sampler != GRID else 0, early_stop(content.get("early_stop"))
    return Search(sampler, count, objectives, constraints, stop)


def constraint(text: str) -> Constraint:
    """`drop <= 2` -> what it says. Raises ConfigError."""
    found = re.fullmatch(r"\s*(\w+)\s*(<=|>=)\s*([-+.\deE]+)\s*", text)
    if not found:
        raise ConfigError(f"constraint {text!r} must be as in: drop <= 2")
    measure, sign, bound = found.groups()
    if measure not in MEASURES:
        raise UsageError(unknown("constraint", measure, MEASURES))
    try:
        return Constraint(measure, sign, float(bound))
    except ValueError:
        raise ConfigError(f"constraint {text!r}: {bound} is not a number") from None


def measured(record: Record) -> dict[str, float]:
    """What can be asked for, of the final artifact of a run; empty if it was not measured."""
    point = record.points[-1] if record.points else None
    if not point or not point.latency or record.metric not in point.quality:
        return {}
    quality, cell = point.quality[record.metric], point.latency[0]
    found = {
        "quality": quality,
        "speedup": cell.speedup,
        "density": point.density.nonzero,
        "latency_ms": cell.pruned_ms,
        "size_mb": point.size_mb,
    }
    if record.metric in record.reference:
        found["drop"] = record.reference[record.metric] - quality
    return found


def _words(value: Any) -> Sequence[str]:
    """A list of YAML, or `[a,b]` or `a,b` of the command line."""
    if isinstance(value, str):
        return [word.strip() for word in value.strip("[] ").split(",") if word.strip()]
    return list(map(str, value))
