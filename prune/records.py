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

    def problems(self) -> list[str]:
        """Why this is no evidence: a number that is missing, not finite or out of range."""
        found = []
        if not self.quality:
            found.append("no quality was measured")
        if not self.latency:
            found.append("no latency was measured")
        if len(self.sha256) != 64:
            found.append("the artifact has no hash")
        if self.size_mb <= 0:
            found.append(f"size_mb={self.size_mb}")
        for name, value in dataclasses.asdict(self.density).items():
            if not 0 <= value <= 1:
                found.append(f"density.{name}={value}")
        numbers = dict(self.quality)
        for cell in self.latency:
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
    steps: int = 0
    error: str = ""  # one line
    path: str = ""  # run folder, as the store found it; not part of result.json


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
