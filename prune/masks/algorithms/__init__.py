"""Scores -> mask. One final class a file; `ALGORITHMS` is the registry."""

from prune.errors import ConfigError, unknown
from prune.masks.algorithms.ampere import Ampere
from prune.masks.algorithms.base import Algorithm
from prune.masks.algorithms.l0 import L0
from prune.masks.algorithms.magnitude import Magnitude
from prune.masks.algorithms.sigmoid_threshold import SigmoidThreshold
from prune.masks.algorithms.threshold import Threshold
from prune.masks.algorithms.topk import TopK

ALGORITHMS: dict[str, type[Algorithm]] = {
    "magnitude": Magnitude,
    "topk": TopK,
    "threshold": Threshold,
    "sigmoid_threshold": SigmoidThreshold,
    "l0": L0,
    "ampere": Ampere,
}


def get(name: str) -> type[Algorithm]:
    if name not in ALGORITHMS:
        raise ConfigError(unknown("algorithm", name, ALGORITHMS))
    return ALGORITHMS[name]


__all__ = [
    "ALGORITHMS",
    "L0",
    "Algorithm",
    "Ampere",
    "Magnitude",
    "SigmoidThreshold",
    "Threshold",
    "TopK",
    "get",
]
