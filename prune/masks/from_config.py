"""The policy that a run's configuration describes."""

import dataclasses
import re
from collections.abc import Iterator

from prune.config import PartConfig, RunConfig
from prune.errors import ConfigError
from prune.masks import algorithms
from prune.masks.algorithms import Algorithm, Ampere
from prune.masks.geometry import Block, Columns, Geometry, Heads, Rows
from prune.masks.policy import Part, Policy, Rule
from prune.masks.schedule import Schedule

GEOMETRIES: dict[str, type[Geometry]] = {"rows": Rows, "columns": Columns, "heads": Heads}


def policy_of(config: RunConfig) -> Policy:
    """Raises ConfigError for combinations that mean nothing, and for a broken pattern."""
    if config.ffn.name != "dense" and config.ffn.geometry == "heads":
        raise ConfigError("ffn.geometry=heads: an FFN has no heads; use rows for its neurons")
    wanted = config.schedule
    return Policy(
        attention=_part(config, config.attention),
        ffn=_part(config, config.ffn),
        rules=[*_rules(config, "attention"), *_rules(config, "ffn")],
        schedule=Schedule(
            wanted.warmup_steps,
            wanted.warmup_ratio,
            wanted.initial,
            wanted.final,
            wanted.ramp_epochs,
        ),
        penalty=wanted.penalty,
        seed=config.seed,
    )


def _part(config: RunConfig, part: PartConfig) -> Part | None:
    if part.name == "dense" or part.rules:
        return None
    return Part(
        algorithm=_algorithm(config, part),
        geometry=_geometry(part),
        sharing=part.sharing,
        weight=part.weight,
        pooled=part.scope == "global",
        ampere=part.ampere,
    )


def _rules(config: RunConfig, name: str) -> Iterator[Rule]:
    """The rules of a custom part; what a rule does not say is said by the part."""
    part: PartConfig = getattr(config, name)
    for number, given in enumerate(part.rules):
        own = {key: given[key] for key in ("algorithm", "geometry", "block") if key in given}
        merged = dataclasses.replace(part, **own)
        try:
            re.compile(given["pattern"])
        except re.error as error:
            raise ConfigError(f"{name}.rules[{number}].pattern: {error}") from error
        rule = Rule(
            pattern=given["pattern"],
            algorithm=_algorithm(config, merged),
            geometry=_geometry(merged),
            share=given.get("share"),
            flipped=given.get("flipped", False),
            part=name,
            head_size=given.get("head_size"),
            weight=part.weight,
            pooled=part.scope == "global",
        )
        yield rule
        if part.ampere:
            yield dataclasses.replace(rule, algorithm=Ampere(), share=None, pooled=False)


def _algorithm(config: RunConfig, part: PartConfig) -> Algorithm:
    """The algorithm with those of the run's numbers that it knows."""
    kind = algorithms.get(part.algorithm)
    end, density = config.schedule.end, config.target.density
    density = end if density is None else density
    given = {"min_density": part.min_density, "density": density, "cutoff": end}
    known = {item.name for item in dataclasses.fields(kind)}
    return kind(**{k: v for k, v in given.items() if k in known and v is not None})


def _geometry(part: PartConfig) -> Geometry:
    if part.geometry == "block":
        return Block(*part.block)
    return GEOMETRIES[part.geometry]()
