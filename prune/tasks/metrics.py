"""Metrics of classification and regression, in percent: each by its definition, over all examples.

Classes are numbers from 0; with two of them, 1 is the positive one. Where a metric is not defined
(no positives, a constant prediction) it is 0, as in the usual libraries.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Metric = Callable[[Values, Values], float]  # predictions, references -> percent


def accuracy(predictions: Values, references: Values) -> float:
    return 100 * float(np.mean(predictions == references))


def f1(predictions: Values, references: Values) -> float:
    """F1 of class 1."""
    return 100 * _f1_of(predictions, references, 1)


def macro_f1(predictions: Values, references: Values) -> float:
    """The plain mean of the F1 of every class that occurs in either."""
    classes = np.union1d(predictions, references)
    return 100 * float(np.mean([_f1_of(predictions, references, c) for c in classes]))


def matthews(predictions: Values, references: Values) -> float:
    """Matthews' correlation of two classes: Pearson's, of zeros and ones."""
    return pearson(predictions == 1, references == 1)


def pearson(predictions: Values, references: Values) -> float:
    ours = predictions.astype(np.float64) - predictions.mean()
    theirs = references.astype(np.float64) - references.mean()
    scale = np.sqrt((ours**2).sum() * (theirs**2).sum())
    if not np.isfinite(scale) or scale <= 1e-12 * len(ours):
        return 0.0
    return 100 * float((ours * theirs).sum() / scale)


def spearman(predictions: Values, references: Values) -> float:
    """Pearson's correlation of the ranks; equal values share the mean of theirs."""
    return pearson(_ranks(predictions), _ranks(references))


def _f1_of(predictions: Values, references: Values, positive: float) -> float:
    ours, theirs = predictions == positive, references == positive
    both = int((ours & theirs).sum())
    return 2 * both / int(ours.sum() + theirs.sum()) if both else 0.0


def _ranks(values: Values) -> Values:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Values = (last - (counts - 1) / 2)[place]
    return means


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}


def score(
    names: Sequence[str], predictions: Sequence[float], references: Sequence[float]
) -> dict[str, float]:
    """The metrics called `names`, over one prediction and one reference an example."""
    ours, theirs = np.array(predictions, np.float64), np.array(references, np.float64)
    return {name: METRICS[name](ours, theirs) for name in names}
