"""New masks for a step: the noise they need, and scores that are ranked together."""

import torch

from prune.masks.groups import Tie


def draw_noise(ties: list[Tie], seed: int, step: int) -> None:
    """u ~ U(0, 1) for the masks that need it: a function of seed and step, so resume is exact."""
    sources: dict[torch.device, torch.Generator] = {}
    for tie in ties:
        if tie.algorithm.noisy and tie.scores is not None:
            scores = tie.scores
            if scores.device not in sources:
                source = sources[scores.device] = torch.Generator(scores.device)
                source.manual_seed((seed * 1_000_003 + step) % 2**63)
            tie.noise = torch.empty_like(scores).uniform_(generator=sources[scores.device])


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
