"""SQuAD's official metric: exact match and F1 of words, the best over all reference answers."""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and extra white space."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(prediction: str, reference: str) -> float:
    return float(normalise(prediction) == normalise(reference))


def f1(prediction: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the words, in [0, 1]."""
    ours, theirs = normalise(prediction).split(), normalise(reference).split()
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def score(
    predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """F1 and exact match in percent, over all questions of `references`."""
    total = {"f1": 0.0, "exact_match": 0.0}
    for name, answers in references.items():
        prediction = predictions[name]
        total["f1"] += max(f1(prediction, answer) for answer in answers)
        total["exact_match"] += max(exact_match(prediction, answer) for answer in answers)
    return {metric: 100 * value / len(references) for metric, value in total.items()}
