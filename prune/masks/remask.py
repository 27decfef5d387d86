"""New masks for a step: scores that are ranked together."""

import torch

from prune.masks.groups import Tie


def mask_together(pool: list[Tie], evaluation: bool) -> None:
    first = pool[0]
    dead, live = (sum(tie.gone[kind] for tie in pool) for kind in (0, 1))
    if len(pool) == 1 and (first.algorithm.soft or not dead + live):
        first.remask(evaluation)
        return
    values = [tie.importance() for tie in pool]
    # What ranks or has a cut-off has the same mask in training, and does not ask for a place.
    ends = [(live, torch.inf), (dead, -torch.inf)]
    gone = [values[0].new_full((count,), value) for count, value in ends if count]
    masks = first.algorithm.masks([*values, *gone], first.threshold)
    for tie, mask in zip(pool, masks, strict=False):
        tie.mask = mask
