"""SQuAD v2.0 (Rajpurkar et al. 2018, arXiv:1806.03822): some questions have no answer."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import ClassVar

from torch import Tensor

from prune.tasks import squad_metric, squad_reader
from prune.tasks.squad import Squad
from prune.tasks.squad_answers import Answer, answers

NEVER = 1.0  # so far below all margins is the threshold at which nothing is answered


class SquadV2(Squad):
    """SQuAD v2.0, from `task.data_dir` or the hub, with its official metric.

    A question is answered where the best span beats [CLS] by more than a threshold: `f1` and
    `exact_match` are at threshold 0, `best_f1` and `best_exact` at the best one on the eval split.
    """

    name: ClassVar[str] = "squad_v2"
    metric = "best_f1"
    edition: ClassVar[squad_reader.Edition] = squad_reader.V2

    def score(self, outputs: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
        examples, found = self.eval_windows
        given = answers(examples, found, outputs["start_logits"], outputs["end_logits"])
        return score(given, {e.id: [text for text, _ in e.answers] for e in examples})


def score(
    predictions: Mapping[str, Answer], references: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """In percent, over all questions of `references`; one without references has no answer.

    `best_f1_threshold` is the margin of [CLS] over the span up to which the span is the answer.
    """
    found: dict[str, float] = {}
    margins = [_margin(predictions[name]) for name in references]
    for name, compare in (("f1", squad_metric.f1), ("exact_match", squad_metric.exact_match)):
        answered, silent = [], []
        for question, texts in references.items():
            wanted = [text for text in texts if squad_metric.normalise(text)]
            text = predictions[question].text
            wrong = float(not squad_metric.normalise(text))  # right, if nothing is the answer
            answered.append(max((compare(text, w) for w in wanted), default=wrong))
            silent.append(float(not wanted))
        scale = 100 / len(references)
        at_zero = [a if m <= 0 else s for a, s, m in zip(answered, silent, margins, strict=True)]
        found[name] = scale * sum(at_zero)
        best, threshold = best_threshold(margins, answered, silent)
        found["best_f1" if name == "f1" else "best_exact"] = scale * best
        if name == "f1":
            found["best_f1_threshold"] = threshold
    return found


def best_threshold(
    margins: Sequence[float], answered: Sequence[float], silent: Sequence[float]
) -> tuple[float, float]:
    """The largest sum of scores, and its threshold: margins up to it are answered.

    answered, silent: what each question scores with its answer, and without one.
    """
    total = best = sum(silent)
    threshold = min(margins) - NEVER
    order = sorted(zip(margins, answered, silent, strict=True))
    for margin, group in groupby(order, key=lambda row: row[0]):
        total += sum(with_it - without for _, with_it, without in group)
        if total > best:
            best, threshold = total, margin
    return best, threshold


def _margin(answer: Answer) -> float:
    """By how much no answer beats the span; a question without any span gets none."""
    margin = answer.none - answer.score
    return margin if math.isfinite(margin) else 1e9
