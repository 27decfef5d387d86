"""Everything wrong with a RunConfig that can be seen without a model or data."""

import dataclasses
import math
from typing import Any

from prune.choices import RUNTIMES, SHARINGS, SHARINGS_OF, rule_problems
from prune.config import PartConfig, RunConfig
from prune.errors import unknown


def field_problems(config: Any, path: str = "") -> list[str]:
    """Choices and bounds of every field below `config`, as one line each."""
    problems = []
    for item in dataclasses.fields(config):
        value, name = getattr(config, item.name), path + item.name
        if dataclasses.is_dataclass(value):
            problems += field_problems(value, name + ".")
        elif choices := item.metadata.get("choices"):
            if value not in choices:
                problems.append(f"{name}: {unknown('value', value, choices)}")
        elif "low" in item.metadata and value is not None:
            low, high = item.metadata["low"], item.metadata["high"]
            if not (low <= value < math.inf and (high is None or value <= high)):
                bounds = f"at least {low}" if high is None else f"between {low} and {high}"
                bounds = bounds if math.isfinite(value) else "finite"
                problems.append(f"{name}={value} must be {bounds}")
    return problems


def problems(config: RunConfig) -> list[str]:
    """Everything wrong with `config` that can be seen without a model or data."""
    found = field_problems(config)
    for name in ("attention", "ffn"):
        part: PartConfig = getattr(config, name)
        if len(part.block) != 2 or min(part.block, default=0) < 1:
            found.append(
                f"{name}.block={part.block} must be two sizes of at least 1: [rows,columns]"
            )
        if part.sharing in SHARINGS and part.sharing not in SHARINGS_OF[name]:
            found.append(f"{name}.sharing: {unknown('value', part.sharing, SHARINGS_OF[name])}")
        found += rule_problems(name, part.name == "custom", part.rules)
    for cell in config.measure.grid:
        if len(cell) != 2 or min(cell, default=0) < 1:
            found.append(f"measure.grid: {cell} must be [batch,length]")
    for runtime in config.measure.runtimes or ["(none)"]:
        if runtime not in RUNTIMES:
            found.append(f"measure.runtimes: {unknown('runtime', runtime, RUNTIMES)}")
    if not config.measure.grid:
        found.append("measure.grid is empty: name at least one [batch,length]")
        return found
    if config.shrink.in_training and "l0" in (config.attention.algorithm, config.ffn.algorithm):
        found.append(
            "shrink.in_training: the masks of l0 are random while it trains, so nothing is dead "
            "for sure; use shrink.in_training=false"
        )
    return found + _target_problems(config)


def _target_problems(config: RunConfig) -> list[str]:
    found, target = [], config.target
    asked = target.asked()
    pruned = [n for n in ("attention", "ffn") if getattr(config, n).name != "dense"]
    if len(asked) > 1:
        found.append(
            f"target.{' and target.'.join(asked)}: a run has one target; "
            f"drop the other (target.{asked[0]}=null)"
        )
    if asked and not pruned:
        found.append(f"target.{asked[0]}: nothing is pruned; choose attention= or ffn=")
    for name in pruned:
        part: PartConfig = getattr(config, name)
        if asked and part.algorithm == "ampere":
            found.append(
                f"target.{asked[0]}: {name}.algorithm=ampere always keeps half; drop the target, "
                f"or use another algorithm with {name}.ampere=true"
            )
        if not asked and config.schedule.end is None and part.algorithm in ("topk", "magnitude"):
            found.append(f"{name}.algorithm={part.algorithm} needs target.density=SHARE to keep")
    if asked and config.schedule.end is not None:
        found.append(f"target.{asked[0]} and schedule.end say the same thing: give one of them")
    if config.train.targets:
        found += _forks_problems(config)
    cell = [target.batch or config.measure.grid[0][0], target.length or config.measure.grid[0][-1]]
    if {"speedup", "latency_ms"} & {*asked} and cell not in config.measure.grid:
        found.append(f"target: batch {cell[0]} x {cell[1]} is not measured; add it to measure.grid")
    return found


def _forks_problems(config: RunConfig) -> list[str]:
    """Of `train.targets`: they are passed before the run's own target, each once."""
    asked, values = config.target.asked(), config.train.targets
    if not asked:
        return [
            "train.targets: further values of the target; name the hardest one, as in "
            f"target.speedup={max(values):g}"
        ]
    name, own = asked[0], getattr(config.target, asked[0])
    harder = [v for v in values if (v >= own if name == "speedup" else v <= own)]
    found = [
        f"train.targets: {value:g} is not easier than target.{name}={own:g}: the run ends at the "
        "hardest one"
        for value in harder
    ]
    if name in ("density", "speedup"):
        beyond = [v for v in values if (v >= 1) != (name == "speedup")]
        found += [f"train.targets: {value:g} is no {name} of a pruned network" for value in beyond]
    if len(set(values)) < len(values):
        found.append("train.targets: one of them is given twice")
    if config.train.trunk:
        found.append("train.targets: a run that was forked has none; use train.targets=[]")
    return found
