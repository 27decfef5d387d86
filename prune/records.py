"""What a run leaves behind, as plain data: a Record with one Point a checkpoint.

A Point is evidence about one saved artifact: its quality, density, size and latency were all
measured on that artifact. Units are in the names; densities are shares in [0, 1].
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from prune.errors import StoreError

FORMAT = 1  # of result.json
PUBLISHED = "published"  # key of Record.lineage: the file this was imported from


@dataclass(frozen=True)
class Latency:
    """One cell of the latency grid, dense and pruned interleaved in one process."""

    batch: int
    length: int  # tokens
    runtime: str  # "eager", ...
    dense_ms: float  # median of one forward pass
    pruned_ms: float
    speedup: float  # median of the ratios dense / pruned, pair by pair
    speedup_low: float  # 95 % bootstrap interval of that median
    speedup_high: float
    rounds: int
    dtype: str = "fp32"
    padded: bool = True  # False: batches of real lengths, each as long as its longest input
    device: str = ""  # its name
    threads: int = 0  # of the processor
    clock_mhz: float = 0.0  # of the device, when the measurement ended; 0: it does not say
    sha256: str = ""  # of the weights that were timed; empty: those of the point
    measured: str = ""  # when, and by which versions, if later than the run: prune bench --record


@dataclass(frozen=True)
class Density:
    """Shares of the dense network, in [0, 1]."""

    nonzero: float  # non-zero prunable weights / prunable weights of the dense network
    stored: float  # stored prunable weights / prunable weights of the dense network
    model: float  # stored parameters of the whole model / those of the dense one


@dataclass(frozen=True)
class Point:
    """One checkpoint with all its evidence."""

    stage: str  # "dense", "pruned" or "filled"
    quality: dict[str, float]  # metric -> value, in the metric's own units (F1: 0 to 100)
    density: Density
    size_mb: float  # of the weights file
    dense_size_mb: float
    latency: list[Latency]  # the first one is the headline
    artifact: str  # folder, relative to the run folder
    sha256: str  # of the weights file
    heads: list[int] = field(default_factory=list)  # left in each layer
    widths: list[int] = field(default_factory=list)  # FFN neurons left in each layer
    logit_difference: float = 0.0  # largest, small model against masked model, fp32

    def problems(self, published: bool = False) -> list[str]:
        """Why this is no evidence: a number that is missing, not finite or out of range.

        What others published has neither an artifact of ours nor its size, and a larger network is
        measured against the usual dense one.
        """
        found = []
        if not self.quality:
            found.append("no quality was measured")
        if not self.latency:
            found.append("no latency was measured")
        if len(self.sha256) != 64 and not published:
            found.append("the artifact has no hash")
        if self.size_mb <= 0 and not published:
            found.append(f"size_mb={self.size_mb}")
        for name, value in dataclasses.asdict(self.density).items():
            if value < 0 or (value > 1 and not published):
                found.append(f"density.{name}={value}")
        numbers = dict(self.quality)
        for cell in self.latency:
            if cell.sha256 not in ("", self.sha256):
                found.append(
                    f"latency {cell.batch}x{cell.length} {cell.runtime} is of other weights than "
                    "its quality"
                )
            numbers[f"latency {cell.batch}x{cell.length}"] = cell.speedup
        found += [f"{name}={value}" for name, value in numbers.items() if not math.isfinite(value)]
        return found


@dataclass(frozen=True)
class Record:
    """One run: what was asked (config, overrides), what came out, and how it ended."""

    run_id: str
    group: str  # folder below runs/
    status: str  # "done", "failed"; a folder without a result is "running" or "interrupted"
    experiment: str = ""
    task: str = ""
    metric: str = ""  # the headline metric of the task, a key of Point.quality
    config: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    reference: dict[str, float] = field(
        default_factory=dict
    )  # quality of the dense model or teacher
    lineage: dict[str, str] = field(default_factory=dict)  # "model" and "teacher": run id or name
    started: str = ""  # ISO 8601, UTC
    seconds: float = 0.0
    steps: int = 0  # of the optimizer, in this run: not those of the run it was forked from
    # Seconds by what they were spent on: data, teacher, training, shrinking, measuring.
    costs: dict[str, float] = field(default_factory=dict)
    error: str = ""  # one line
    path: str = ""  # run folder, as the store found it; not part of result.json

    @property
    def published(self) -> bool:
        """Whether others measured this and published it: no run of ours, and no artifact."""
        return PUBLISHED in self.lineage


def to_json(record: Record) -> dict[str, Any]:
    content = dataclasses.asdict(record)
    del content["path"]
    return {"format": FORMAT, **content}


def from_json(content: dict[str, Any], path: str = "") -> Record:
    """The inverse of `to_json`. Raises StoreError on a newer format or a missing key."""
    if content.get("format") != FORMAT:
        raise StoreError(f"{path}: result format {content.get('format')} is not {FORMAT}")
    fields = {k: v for k, v in content.items() if k != "format"}
    try:
        fields["points"] = [_point(p) for p in fields.get("points", [])]
        return Record(**fields, path=path)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: not a result of this program ({error})") from error


def _point(content: dict[str, Any]) -> Point:
    fields = dict(content)
    fields["density"] = Density(**fields["density"])
    fields["latency"] = [Latency(**cell) for cell in fields["latency"]]
    return Point(**fields)


def readable(value: float, digits: int = 3) -> str:
    """So many significant digits, and whole numbers without an exponent: 0.123, 12.3, 3,204."""
    whole = abs(value) >= 10**digits - 0.5
    return f"{value:,.0f}" if whole else f"{value:.{digits}g}"
