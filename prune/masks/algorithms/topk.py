"""Movement pruning: keep the groups of highest learned score."""

from dataclasses import dataclass
from typing import final

from prune.masks.algorithms.ranked import Ranked


@final
@dataclass(frozen=True)
class TopK(Ranked):
    """M = 1 for the round(tau n) groups of highest S; tau is the density kept, 1 -> density.

    When to use it: a density is asked for and must be met exactly (Sanh et al. 2020, hard
    movement). Each matrix keeps the same share, unless the policy ranks a whole part together.
    Not to be confused with `sigmoid_threshold`, which finds the share of each matrix itself.
    """
