"""Your transformer, smaller and faster on your hardware, with evidence.

The map of the house, from the ground up:

    autoload                     makes from_pretrained of transformers load pruned models
    errors, config, compose      what can go wrong; what a run is; from YAML to a frozen RunConfig
    masks                        what lives: geometry, algorithms, schedule, policy, Pruner
    kernels                      block-sparse layers that are faster than dense ones
    tasks, records, store        data and metrics; what a run leaves behind; where it is kept
    speed                        density, size, latency
    training, artifact           how it learns; what remains
    run, commands, cli           the story of one run; the command line
    sweeps, analysis             many runs; from records to claims (packages of their own)

The names below are the library; they load what they need when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from prune import autoload

if TYPE_CHECKING:
    from prune.artifact.checkpoint import load, save
    from prune.artifact.shrink import shrink
    from prune.masks.policy import Part, Policy, Rule, hybrid, structured
    from prune.masks.pruner import Pruner
    from prune.masks.schedule import Schedule
    from prune.speed.malloc import keep_memory
    from prune.training.distillation import Distillation
    from prune.training.trainer import SparseTrainer, SparseTrainerMixin

_HOMES = {
    "Distillation": "prune.training.distillation",
    "Part": "prune.masks.policy",
    "Policy": "prune.masks.policy",
    "Pruner": "prune.masks.pruner",
    "Rule": "prune.masks.policy",
    "Schedule": "prune.masks.schedule",
    "SparseTrainer": "prune.training.trainer",
    "SparseTrainerMixin": "prune.training.trainer",
    "hybrid": "prune.masks.policy",
    "keep_memory": "prune.speed.malloc",
    "load": "prune.artifact.checkpoint",
    "save": "prune.artifact.checkpoint",
    "shrink": "prune.artifact.shrink",
    "structured": "prune.masks.policy",
}

__all__ = [
    "Distillation",
    "Part",
    "Policy",
    "Pruner",
    "Rule",
    "Schedule",
    "SparseTrainer",
    "SparseTrainerMixin",
    "hybrid",
    "keep_memory",
    "load",
    "save",
    "shrink",
    "structured",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'prune' has no attribute {name!r}")


autoload.install()
