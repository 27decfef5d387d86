"""Logits of windows -> one answer a question."""

from collections.abc import Sequence

import torch
from torch import Tensor

from prune.tasks.squad_features import Window
from prune.tasks.squad_reader import Example

MAX_ANSWER = 30  # tokens


def answers(
    examples: Sequence[Example],
    windows: Sequence[Window],
    start_logits: Sequence[Tensor],
    end_logits: Sequence[Tensor],
) -> dict[str, str]:
    """The best span of the paragraph over all windows of each question, by start + end logit."""
    best = {example.id: (-float("inf"), "") for example in examples}
    for window, starts, ends in zip(windows, start_logits, end_logits, strict=True):
        example = examples[window.example]
        score, first, last = best_span(window, starts, ends)
        if score > best[example.id][0]:
            begin, end = window.spans[first], window.spans[last]
            assert begin and end
            best[example.id] = (score, example.context[begin[0] : end[1]])
    return {name: text for name, (_, text) in best.items()}


def best_span(window: Window, starts: Tensor, ends: Tensor) -> tuple[float, int, int]:
    """Score, first and last token of the best span of at most MAX_ANSWER paragraph tokens."""
    tokens = torch.tensor([i for i, span in enumerate(window.spans) if span], dtype=torch.long)
    if len(tokens) == 0:
        return -float("inf"), 0, 0
    sums = starts[tokens][:, None] + ends[tokens][None, :]
    allowed = torch.ones_like(sums, dtype=torch.bool).triu().tril(MAX_ANSWER - 1)
    sums = sums.masked_fill(~allowed, -float("inf"))
    place = int(sums.argmax())
    first, last = divmod(place, len(tokens))
    return float(sums.flatten()[place]), int(tokens[first]), int(tokens[last])
