"""Side-by-side timing: A and B in turn, the ratio of each pair, its median and an interval.

A machine that is shared drifts; two measurements taken one after the other drift together. So a
benchmark here never compares two separate figures: it takes at least 20 pairs, interleaved (of
whole networks at least 5 rounds), and reports the median of the pair-wise ratios with a 95 %
bootstrap interval. One JSON file a benchmark goes to `benchmarks/results/MACHINE/`;
`benchmarks/table.py` makes README's table of them.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

RESULTS = Path(__file__).parent / "results"  # a folder a machine, from which tables are made
RECORDED = Path(__file__).parent / "recorded"  # of whole runs and sweeps
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
    goal: str  # "ratio", "ms" or "speedup" (1 / ratio): which of the figures the limit holds for
    limit: float | None  # None: a fact without a goal
    shown: bool = field(default=True, kw_only=True)  # in README; the others are in the file alone
    ideal: float | None = field(default=None, kw_only=True)  # the speedup, if time were operations
    unit: str = field(default="ms", kw_only=True)  # else what was counted, not timed: MB

    @property
    def met(self) -> bool:
        if self.limit is None:
            return True
        if self.goal == "speedup":
            return 1 / self.ratio >= self.limit
        return (self.ratio if self.goal == "ratio" else self.what_ms) <= self.limit

    @property
    def wanted(self) -> str:
        """The goal in words; nothing for a fact."""
        words = {"ratio": "ratio ≤ {:g}", "ms": "≤ {:g} ms", "speedup": "≥ {:g}x"}
        return "" if self.limit is None else words[self.goal].format(self.limit)

    @property
    def found(self) -> str:
        """The figure with its interval; of a speedup also the share of the ideal one."""
        if self.unit != "ms" or self.pairs == 1:
            return f"{self.ratio:.3f}"
        if self.goal != "speedup":
            return f"{self.ratio:.3f} ({self.ratio_low:.3f} to {self.ratio_high:.3f})"
        text = f"{1 / self.ratio:.2f}x ({1 / self.ratio_high:.2f} to {1 / self.ratio_low:.2f})"
        return text + (f", {1 / self.ratio / self.ideal:.0%} of ideal" if self.ideal else "")


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
    """Times in ms of each in every round, after a warm-up.

    Two calls change places with every round. More are shuffled (seeded): if the order only went
    round, each would always find the caches as the same one leaves them.
    """
    times: list[list[float]] = [[] for _ in calls]
    rng, order = random.Random(0), list(range(len(calls)))
    for number in range(-warmup, rounds):
        order = order[::-1] if len(calls) == 2 else rng.sample(order, len(order))
        for side in order:
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
    limit: float | None,
    pairs: int = MIN_PAIRS,
) -> Row:
    """Time the two `calls` side by side and print the row."""
    return row_of(names, paired(*calls, pairs=pairs), goal, limit)


def row_of(
    names: tuple[str, str],
    times: tuple[Sequence[float], Sequence[float]],
    goal: str,
    limit: float | None,
    shown: bool = True,
    ideal: float | None = None,
    unit: str = "ms",
) -> Row:
    """What the times of two interleaved calls say; prints it."""
    ratios = [a / b for a, b in zip(*times, strict=True)]
    medians = [round(statistics.median(t), 3) for t in times]
    figures = [round(x, 4) for x in (statistics.median(ratios), *median_interval(ratios))]
    facts: dict[str, Any] = {"shown": shown, "ideal": ideal, "unit": unit}
    row = Row(*names, len(ratios), *medians, *figures, goal, limit, **facts)
    verdict = f"   goal {row.wanted}: {'met' if row.met else 'NOT met'}" if row.wanted else ""
    print(
        f"{row.what:45} {row.what_ms:9.1f} {unit}   against {row.against_ms:9.1f} {unit}   "
        f"{row.found}{verdict}",
        flush=True,
    )
    return row


def environment(threads: int, device: str = "") -> dict[str, Any]:
    """What the figures depend on: processor, threads, versions. No path, no host name.

    device: what computes, where it is not the processor.
    """
    return {
        **({"device": device} if device else {}),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
    }


def machine(environment: dict[str, Any]) -> str:
    """What computed: a device, or the processor."""
    return str(environment.get("device") or environment["processor"])


def folder_of(environment: dict[str, Any]) -> Path:
    """Where the results of a machine lie: figures of two are never in one file."""
    return RESULTS / re.sub(r"[^a-z0-9]+", "-", machine(environment).lower()).strip("-")


def write(
    name: str,
    rows: Sequence[Row],
    threads: int,
    about: str,
    device: str = "",
    merge: bool = False,
    folder: Path | None = None,
) -> Path:
    """Write `benchmarks/results/MACHINE/NAME.json`, or into another folder.

    merge: keep the other rows of the file that is there, if they are of the same environment.
    """
    where = environment(threads, device)
    path = (folder or folder_of(where)) / f"{name}.json"
    if merge and path.exists():
        before, known = read(path)
        if before["environment"] == where:
            rows = list({(r.what, r.against): r for r in [*known, *rows]}.values())
    content = {
        "benchmark": name,
        "about": about,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "environment": where,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    return save(name, content, path.parent)


def save(name: str, content: dict[str, Any], folder: Path) -> Path:
    """`NAME.json`, aside and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    aside = path.with_suffix(".part")
    aside.write_text(text(content))
    aside.replace(path)
    return path


def text(content: dict[str, Any], widest: int = 100) -> str:
    """JSON, a row a line where there are so many that a number a line would be thousands."""
    whole = json.dumps(content, indent=2)
    if len(content["rows"]) > widest:
        lines = ",\n".join(map(json.dumps, content["rows"]))
        empty, full = '"rows": []', f'"rows": [\n{lines}\n]'
        whole = json.dumps({**content, "rows": []}, indent=2).replace(empty, full)
    return whole + "\n"


def read(path: Path, kind: type[Kind] = Row) -> tuple[dict[str, Any], list[Kind]]:
    """The inverse of `write`: everything, and its rows."""
    content = json.loads(path.read_text())
    return content, [kind(**row) for row in content["rows"]]


def _version(package: str) -> str:
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return ""


def _processor() -> str:
    """Its name, and where llvmlite is installed the kind that the name may not say."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:(.*)", info.read_text() if info.exists() else "", re.M)
    name = names[0] if names else platform.processor()
    words = re.sub(r"\(R\)|\(TM\)|\bCPU\b|\bProcessor\b|@.*", "", name).split()
    with contextlib.suppress(ImportError):
        llvm = import_module("llvmlite.binding")
        kind, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
        # LLVM goes by the model number, which a virtual machine may make up. It cannot make up AMX.
        hidden = features.get("amx-tile") and "rapids" not in kind
        words.append("(hidden model with AMX)" if hidden else f"({kind})")
    return " ".join(words)
