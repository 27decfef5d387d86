"""The policy that a run's configuration describes."""

from prune.config import PartConfig, RunConfig
from prune.errors import ConfigError
from prune.masks import algorithms
from prune.masks.algorithms import Algorithm
from prune.masks.geometry import Block, Columns, Geometry, Heads, Rows
from prune.masks.policy import Part, Policy
from prune.masks.schedule import Schedule

GEOMETRIES: dict[str, type[Geometry]] = {"rows": Rows, "columns": Columns, "heads": Heads}


def policy_of(config: RunConfig) -> Policy:
    """Raises ConfigError for combinations that mean nothing."""
    if config.ffn.name != "dense" and config.ffn.geometry == "heads":
        raise ConfigError("ffn.geometry=heads: an FFN has no heads; use rows for its neurons")
    wanted = config.schedule
    return Policy(
        attention=_part(config, config.attention),
        ffn=_part(config, config.ffn),
        schedule=Schedule(
            wanted.warmup_steps,
            wanted.warmup_ratio,
            wanted.initial,
            wanted.final,
            wanted.ramp_epochs,
        ),
        penalty=wanted.penalty,
    )


def _part(config: RunConfig, part: PartConfig) -> Part | None:
    if part.name == "dense":
        return None
    return Part(
        algorithm=_algorithm(config, part),
        geometry=_geometry(part),
        sharing=part.sharing,
        weight=part.weight,
        pooled=part.scope == "global",
    )


def _algorithm(config: RunConfig, part: PartConfig) -> Algorithm:
    kind = algorithms.get(part.algorithm)
    end = config.schedule.end if config.target.density is None else config.target.density
    options: dict[str, float] = {} if kind.ranks else {"min_density": part.min_density}
    if end is not None:
        options["density" if kind.ranks else "cutoff"] = end
    return kind(**options)


def _geometry(part: PartConfig) -> Geometry:
    if part.geometry == "block":
        return Block(*part.block)
    return GEOMETRIES[part.geometry]()
