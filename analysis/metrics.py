"""Every number a report can rank by: its unit, and whether more is better. Said once, here."""

import math
from dataclasses import dataclass

from prune.errors import StoreError, unknown


@dataclass(frozen=True)
class Metric:
    """A column of the frame, how to print it, and which direction is better."""

    column: str
    label: str
    unit: str  # printed after the number
    higher: bool  # whether more is better
    digits: int  # after the decimal point
    noise: float = 0.0  # two values this close are a tie

    def show(self, value: float) -> str:
        return "-" if math.isnan(value) else f"{value:.{self.digits}f}{self.unit}"


# The quality of a model. The noise is what seeds alone change, in published runs on SQuAD and MNLI;
# CoLA's correlation moves more.
QUALITY: dict[str, Metric] = {
    "f1": Metric("quality", "F1", "", True, 1, 0.3),
    "exact_match": Metric("quality", "exact match", "", True, 1, 0.3),
    "accuracy": Metric("quality", "accuracy", "", True, 1, 0.3),
    "matthews": Metric("quality", "Matthews", "", True, 1, 1.0),
    "pearson": Metric("quality", "Pearson", "", True, 1, 0.3),
    "best_f1": Metric("quality", "F1", "", True, 1, 0.3),
    "rougeL": Metric("quality", "ROUGE-L", "", True, 1, 0.3),
    "loss": Metric("quality", "loss", "", False, 3, 0.01),
}

# What quality is paid with: the other axis of a front.
AXES: dict[str, Metric] = {
    "speedup": Metric("speedup", "speedup", "x", True, 2),
    "density": Metric("nonzero_density", "density", "", False, 2),
    "size": Metric("size_mb", "size", " MB", False, 1),
    "latency": Metric("pruned_ms", "latency", " ms", False, 1),
}


def quality_metric(name: str) -> Metric:
    """The headline metric of a task. Raises StoreError where nobody said which way is better."""
    if name not in QUALITY:
        raise StoreError(f"{unknown('metric', name, QUALITY)}; declare it in analysis/metrics.py")
    return QUALITY[name]
