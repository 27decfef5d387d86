"""Side-by-side timing: A and B in turn, the ratio of each pair, its median and an interval.

A machine that is shared drifts; two measurements taken one after the other drift together. So a
benchmark here never compares two separate figures: it takes at least 20 pairs, interleaved, and
reports the median of the pair-wise ratios with a 95 % bootstrap interval. One JSON file a
benchmark goes to `benchmarks/results/`; `benchmarks/table.py` makes README's table of them.
"""

import dataclasses
import datetime
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

RESULTS = Path(__file__).parent / "results"
MIN_PAIRS = 20
PACKAGES = ("prune", "torch", "transformers", "hydra-core", "optuna", "numpy")


@dataclass(frozen=True)
class Row:
    """One line of the table: `what` against `against`, and the goal it is held to."""

    what: str
    against: str
    pairs: int
    what_ms: float  # medians
    against_ms: float
    ratio: float  # median of what / against, pair by pair
    ratio_low: float  # 95 % bootstrap interval of that median
    ratio_high: float
    goal: str  # "ratio" or "ms": which of the figures the limit holds for
    limit: float

    @property
    def met(self) -> bool:
        return (self.ratio if self.goal == "ratio" else self.what_ms) <= self.limit


Kind = TypeVar("Kind", bound=Row)


def paired(
    what: Callable[[], Any], against: Callable[[], Any], pairs: int = MIN_PAIRS, warmup: int = 3
) -> tuple[list[float], list[float]]:
    """Times in ms of both, called in turn; which goes first changes with every pair."""
    if pairs < MIN_PAIRS:
        raise ValueError(f"{pairs} pairs are too few for a claim: at least {MIN_PAIRS}")
    first, second = interleaved((what, against), pairs, warmup)
    return first, second


def interleaved(
    calls: Sequence[Callable[[], Any]], rounds: int = MIN_PAIRS, warmup: int = 3
) -> list[list[float]]:
    """Times in ms of each in every round, after a warm-up; the order goes round with the rounds."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(-warmup, rounds):
        for place in range(len(calls)):
            side = (number + place) % len(calls)
            start = time.perf_counter()
            calls[side]()
            if number >= 0:
                times[side].append((time.perf_counter() - start) * 1e3)
    return times


def median_interval(values: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the median; seeded, so that a file can be made again."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def compare(
    names: tuple[str, str],
    calls: tuple[Callable[[], Any], Callable[[], Any]],
    goal: str,
    limit: float,
    pairs: int = MIN_PAIRS,
) -> Row:
    """Time the two `calls` side by side and print the row. `goal` is "ratio" or "ms"."""
    return row_of(names, paired(*calls, pairs=pairs), goal, limit)


def row_of(
    names: tuple[str, str], times: tuple[Sequence[float], Sequence[float]], goal: str, limit: float
) -> Row:
    """What the times of two interleaved calls say; prints it."""
    ratios = [a / b for a, b in zip(*times, strict=True)]
    medians = [round(statistics.median(t), 3) for t in times]
    interval = [round(x, 4) for x in median_interval(ratios)]
    ratio = round(statistics.median(ratios), 4)
    row = Row(*names, len(ratios), *medians, ratio, *interval, goal, limit)
    print(
        f"{row.what:45} {row.what_ms:9.1f} ms   against {row.against_ms:9.1f} ms   "
        f"ratio {ratio:.3f} ({interval[0]:.3f} to {interval[1]:.3f})   "
        f"goal {goal} <= {limit:g}: {'met' if row.met else 'NOT met'}",
        flush=True,
    )
    return row


def environment(threads: int) -> dict[str, Any]:
    """What the figures depend on: processor, threads, versions. No path, no host name."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
    }


def write(name: str, rows: Sequence[Row], threads: int, about: str) -> Path:
    """Write `benchmarks/results/NAME.json`."""
    content = {
        "benchmark": name,
        "about": about,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "environment": environment(threads),
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    return save(name, content)


def save(name: str, content: dict[str, Any]) -> Path:
    """`benchmarks/results/NAME.json`, aside and renamed."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    aside = path.with_suffix(".part")
    aside.write_text(text(content))
    aside.replace(path)
    return path


def text(content: dict[str, Any], widest: int = 100) -> str:
    """JSON, a row a line where there are so many that a number a line would be thousands."""
    rows = content["rows"]
    if len(rows) <= widest:
        return json.dumps(content, indent=2) + "\n"
    lines = ",\n".join(json.dumps(row) for row in rows)
    rest = json.dumps({**content, "rows": []}, indent=2)
    return rest.replace('"rows": []', f'"rows": [\n{lines}\n]') + "\n"


def read(path: Path, kind: type[Kind] = Row) -> tuple[dict[str, Any], list[Kind]]:
    """The inverse of `write`: everything, and its rows."""
    content = json.loads(path.read_text())
    return content, [kind(**row) for row in content["rows"]]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
