"""New masks for a step: scores that are ranked together."""

import torch

from prune.masks.groups import Tie


def mask_together(pool: list[Tie], evaluation: bool) -> None:
    values = [tie.importance() for tie in pool]
    first = pool[0]
    dead, live = (sum(tie.gone[kind] for tie in pool) for kind in (0, 1))
    if len(pool) == 1 and (first.algorithm.soft or not dead + live):
        first.remask(values[0], evaluation)
        return
    # What ranks or has a cut-off has the same mask in training, and does not ask for a place.
    flat = [value.reshape(-1) for value in values]
    flat += [flat[0].new_full((live,), torch.inf), flat[0].new_full((dead,), -torch.inf)]
    joined = first.algorithm.mask(torch.cat(flat), first.threshold)
    start = 0
    for tie, value in zip(pool, values, strict=True):
        tie.mask = joined[start : start + value.numel()].view(value.shape)
        start += value.numel()
