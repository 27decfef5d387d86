"""The tables of nn_pruning's README, held against the raw results that they were made of.

Source: github.com/huggingface/nn_pruning, README.md (2021), "Results". Facts: a row is the kind of
network, its parameters relative to BERT-base's linear layers, quality and speedup as printed there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prune.records import Point, Record


@dataclass(frozen=True)
class Row:
    number: int
    model: str
    stage: str
    params: float  # change against BERT-base, in percent
    quality: float
    speedup: float


TABLES: dict[str, tuple[Row, ...]] = {
    "squad": (
        Row(2, "bert_large", "filled", -17, 91.03, 0.92),
        Row(3, "bert_large", "filled", -40, 90.16, 1.03),
        Row(4, "bert_base", "filled", -59, 88.72, 1.84),
        Row(6, "bert_base", "filled", -65, 88.25, 1.98),
        Row(7, "bert_base", "filled", -74, 87.71, 2.44),
        Row(8, "bert_base", "filled", -73, 87.23, 2.60),
        Row(9, "bert_base", "filled", -74, 86.69, 2.80),
        Row(10, "bert_base", "pruned", -86, 85.52, 3.64),
    ),
    "mnli": (
        Row(2, "bert_base", "filled", -65, 83.71, 2.00),
        Row(3, "bert_base", "filled", -74, 83.05, 2.40),
        Row(4, "bert_base", "filled", -81, 82.69, 2.86),
        Row(5, "bert_base", "filled", -87, 81.03, 3.44),
    ),
}
LOST = 0.1  # of F1, when heads and rows are removed: more than rounding


def disagreements(records: Iterable[Record]) -> list[str]:
    """What the published tables and figures say otherwise than these raw results; one line each."""
    known = [(record, point) for record in records for point in record.points]
    found = []
    for task, rows in TABLES.items():
        of_task = [pair for pair in known if pair[0].task == task]
        if of_task:
            found += [line for row in rows if (line := _against(task, row, of_task))]
            found += _lossy([point for _, point in of_task])
    return found


def _against(task: str, row: Row, known: Sequence[tuple[Record, Point]]) -> str:
    """The checkpoint of that quality and speed, compared with its row; empty where they agree."""
    points = [
        point
        for record, point in known
        if record.config["model"]["name"] == row.model and point.stage == row.stage
    ]
    if not points:
        return ""
    name = f"{task} row {row.number} ({row.quality:.2f} at {row.speedup:.2f}x)"
    point = min(points, key=lambda p: (_off(p, row), abs(p.latency[0].speedup - row.speedup)))
    parts = []
    quality, speedup = _quality(point), point.latency[0].speedup
    masked = point.quality.get("masked_f1")
    if abs(quality - row.quality) >= 0.01:
        printed = " (the printed one was measured before heads and rows were removed)"
        own = masked is not None and abs(masked - row.quality) < 0.01
        parts.append(f"its quality is {quality:.2f}{printed if own else ''}")
    if abs(speedup - row.speedup) >= 0.01:
        parts.append(f"its speedup is {speedup:.2f}x")
    params = 100 * (point.density.nonzero - 1)
    if abs(params - row.params) >= 1:
        parts.append(f"its linear parameters are {params:+.0f} %, not {row.params:+.0f} %")
    return f"{name}: {'; '.join(parts)}" if parts else ""


def _off(point: Point, row: Row) -> float:
    """How far the quality that was printed is from this point's, before or after shrinking.

    A speed that agrees to the digit counts: it names the network where the quality is another's.
    """
    masked = point.quality.get("masked_f1", _quality(point))
    return round(min(abs(_quality(point) - row.quality), abs(masked - row.quality)), 2)


def _quality(point: Point) -> float:
    return point.quality["accuracy" if "accuracy" in point.quality else "f1"]


def _lossy(points: Sequence[Point]) -> list[str]:
    """How many networks were not the same once heads and rows had been removed."""
    drops = [
        point.quality["masked_f1"] - point.quality["f1"]
        for point in points
        if "masked_f1" in point.quality
    ]
    lost = [drop for drop in drops if drop > LOST]
    if not lost:
        return []
    return [
        f"{len(lost)} of {len(points)} networks lost more than {LOST} F1 (up to {max(lost):.2f}) "
        "when heads and rows were removed; the speed is that of the smaller network"
    ]
