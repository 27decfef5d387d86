"""Magnitude pruning: keep the groups whose weights are largest."""

from dataclasses import dataclass
from typing import ClassVar, final

from prune.masks.algorithms.ranked import Ranked


@final
@dataclass(frozen=True)
class Magnitude(Ranked):
    """M = 1 for the round(tau n) groups of largest mean |W|; tau is the density kept, 1 -> density.

    When to use it: the baseline (Han et al. 2015; gradual, Zhu & Gupta 2017), with plenty left.
    No scores are learned, so fine-tuning cannot revive what it never updates into being large.
    Not to be confused with `topk`, which ranks learned scores.
    """

    learned: ClassVar[bool] = False
