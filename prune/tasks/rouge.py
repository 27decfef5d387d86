"""ROUGE of summaries (Lin 2004), as the package rouge-score counts it: F1, stemmed, in percent."""

from collections.abc import Sequence
from functools import cache
from statistics import fmean
from typing import Any

from prune.errors import MissingInputError

NAMES = ("rouge1", "rouge2", "rougeL")  # of words, of pairs of words, of the longest subsequence


def score(written: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The means of the F1 over all summaries. Raises MissingInputError without the package."""
    found = [scorer().score(r, w) for w, r in zip(written, references, strict=True)]
    return {name: 100 * fmean(row[name].fmeasure for row in found) for name in NAMES}


@cache
def scorer() -> Any:
    """What counts. Raises MissingInputError if the package is not installed."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingInputError(
            "ROUGE needs a package that is not installed: pip install 'prune[summarization]'"
        ) from error
    return RougeScorer(NAMES, use_stemmer=True)
