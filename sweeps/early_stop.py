"""Early stop: which running trial is beaten so clearly by others that it may end.

The curves of two trials (their metrics.jsonl) are compared at the same rung, an eighth of the
training. One that is no better than another in anything, and worse by `margin` in its loss, is
beaten. Quality has no curve: the loss stands for it, and the density of what is pruned for all
else. So only runs are compared whose losses mean the same (one task, model and teacher), and, where
more than quality matters, whose densities do: the same parts, cut into the same shapes.

Off by default: `early_stop: {margin: 0.2, after: 0.5}` in a sweep file; on the command line also
`early_stop=on`, `off`, or the margin.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

from prune.errors import ConfigError, unknown

RUNGS = 8
SAYS = {"on": True, "true": True, "off": False, "false": False, "": False, "none": False}
CURVES = {  # what is asked for -> what is recorded on the way; less of it is better
    "quality": "loss",
    "drop": "loss",
    "density": "density",
    "speedup": "density",
    "latency_ms": "density",
    "size_mb": "density",
}
COMPARABLE = ("task", "model", "teacher")
SHAPES = ("name", "geometry", "block", "sharing", "ampere", "rules")  # of attention and FFN

Curve = dict[int, dict[str, float]]  # rung, from 1 -> name -> its mean in that part of the training


@dataclass(frozen=True)
class EarlyStop:
    margin: float = 0.2  # share of its loss by which a trial must be worse
    after: float = 0.5  # share of the training before which nobody is judged


@dataclass(frozen=True)
class Beaten:
    by: str  # run id
    rung: int
    mine: float  # its loss there (its density, if nobody asks for quality)
    theirs: float

    def __str__(self) -> str:
        share = f"{100 * self.rung / RUNGS:.0f} %"
        return f"{self.mine:.3g} against {self.theirs:.3g} of {self.by} at {share}"


@final
class Race:
    """The curves seen so far, and who is beaten by whom for these measures."""

    def __init__(self, how: EarlyStop, measures: Iterable[str]) -> None:
        self.how = how
        # The loss first: it is noisy, so the margin is a matter of the loss.
        self.names = sorted({CURVES[name] for name in measures}, reverse=True)
        self.shaped = "density" in self.names
        self.curves: dict[str, tuple[str, Curve]] = {}  # by run id

    def see(self, run_id: str, config: Mapping[str, Any], lines: Iterable[dict[str, float]]) -> int:
        """Take up what this run recorded so far; the last rung that it has behind it."""
        found = curve(lines)
        self.curves[run_id] = self._kind(config), found
        return max(found, default=0)

    def forget(self, run_id: str) -> None:
        """It failed: what it promised is worth nothing."""
        self.curves.pop(run_id, None)

    def beaten(self, run_id: str) -> Beaten | None:
        """By whom, at the last rung that both have reached; None if by nobody."""
        kind, mine = self.curves[run_id]
        for other, (its_kind, theirs) in self.curves.items():
            common = max(mine.keys() & theirs.keys(), default=0)
            if other == run_id or its_kind != kind or common < self.how.after * RUNGS:
                continue
            if common and self._dominates(theirs[common], mine[common]):
                first = self.names[0]
                return Beaten(other, common, mine[common][first], theirs[common][first])
        return None

    def _dominates(self, theirs: Mapping[str, float], mine: Mapping[str, float]) -> bool:
        if not all(name in theirs and name in mine for name in self.names):
            return False
        first = self.names[0]
        clearly = theirs[first] < mine[first] * (1 - self.how.margin)
        return clearly and all(theirs[name] <= mine[name] for name in self.names)

    def _kind(self, config: Mapping[str, Any]) -> str:
        found = [config.get(key) for key in COMPARABLE]
        if self.shaped:
            parts = [config.get(part, {}) for part in ("attention", "ffn")]
            found += [[part.get(key) for key in SHAPES] for part in parts]
        return repr(found)


def curve(lines: Iterable[Mapping[str, float]]) -> Curve:
    """The mean of what was logged in each eighth of the training that is over.

    Only of its first phase: what comes after pruning is another training.
    """
    parts: dict[int, list[Mapping[str, float]]] = {}
    steps, share = 0.0, 0.0
    for line in lines:
        steps = steps or line.get("steps", 0.0)
        if not steps or line.get("steps") != steps:
            break
        share = line.get("step", 0.0) / steps
        parts.setdefault(max(1, math.ceil(share * RUNGS)), []).append(line)
    names = set(CURVES.values())
    return {
        rung: {n: _mean(part, n) for n in names if all(n in line for line in part)}
        for rung, part in parts.items()
        if rung <= share * RUNGS
    }


def early_stop(value: Any) -> EarlyStop | None:
    """From a sweep file or the command line; None: nobody is stopped. Raises ConfigError."""
    if isinstance(value, str) and value.startswith("{"):
        value = dict(re.findall(r"(\w+)\s*:\s*([^\s,}]+)", value))
    if isinstance(value, str):
        value = SAYS.get(value.lower(), value)
    if value is None or isinstance(value, bool):
        return EarlyStop() if value else None
    told = value if isinstance(value, Mapping) else {"margin": value}
    keys = ("margin", "after")
    if problems := [unknown("early_stop key", str(key), keys) for key in told if key not in keys]:
        raise ConfigError(problems)
    return EarlyStop(**{key: _share(key, number) for key, number in told.items()})


def _share(key: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < 1:
        raise ConfigError(
            f"early_stop: {key}={value} must be a number from 0 to below 1, "
            "as in early_stop: {margin: 0.2, after: 0.5}"
        )
    return number


def _mean(lines: list[Mapping[str, float]], name: str) -> float:
    return math.fsum(line[name] for line in lines) / len(lines)
