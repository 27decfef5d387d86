"""Logits of windows -> one answer a question."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor

from prune.tasks.squad_features import Window
from prune.tasks.squad_reader import Example

MAX_ANSWER = 30  # tokens


@dataclass(frozen=True)
class Answer:
    """The best span of a question: its text, its start + end logit, and that of no answer."""

    text: str = ""
    score: float = -math.inf
    none: float = math.inf  # the least of the first tokens of all windows


def answers(
    examples: Sequence[Example],
    windows: Sequence[Window],
    start_logits: Sequence[Tensor],
    end_logits: Sequence[Tensor],
) -> dict[str, Answer]:
    """The best span of the paragraph over all windows of each question, by start + end logit."""
    best = {example.id: Answer() for example in examples}
    for window, starts, ends in zip(windows, start_logits, end_logits, strict=True):
        example = examples[window.example]
        old = best[example.id]
        none = min(old.none, float(starts[0] + ends[0]))
        score, first, last = best_span(window, starts, ends)
        if score > old.score:
            begin, end = window.spans[first, 0], window.spans[last, 1]
            best[example.id] = Answer(example.context[begin:end], score, none)
        else:
            best[example.id] = replace(old, none=none)
    return best


def best_span(window: Window, starts: Tensor, ends: Tensor) -> tuple[float, int, int]:
    """Score, first and last token, counted in the window's paragraph, of its best span.

    starts, ends: (input tokens,). A span has at most MAX_ANSWER tokens.
    """
    tokens = len(window.spans)
    if tokens == 0:
        return -float("inf"), 0, 0
    inside = slice(window.first, window.first + tokens)
    reach = F.pad(ends[inside], (0, MAX_ANSWER - 1), value=-float("inf"))
    sums = starts[inside, None] + reach.unfold(0, MAX_ANSWER, 1)  # (first, length - 1)
    first, more = divmod(int(sums.argmax()), MAX_ANSWER)
    return float(sums[first, more]), first, first + more
