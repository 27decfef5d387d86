"""New masks for a step: scores that are ranked together."""

import torch

from prune.masks.groups import Tie


def mask_together(pool: list[Tie], evaluation: bool) -> None:
    values = [tie.importance() for tie in pool]
    if len(pool) == 1:
        pool[0].remask(values[0], evaluation)
        return
    # Only algorithms that rank are pooled; their masks are the same in training.
    joined = pool[0].algorithm.mask(torch.cat([v.reshape(-1) for v in values]), pool[0].threshold)
    start = 0
    for tie, value in zip(pool, values, strict=True):
        tie.mask = joined[start : start + value.numel()].view(value.shape)
        start += value.numel()
