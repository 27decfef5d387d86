"""P11: `prune report --pareto` on a large store, the frame alone, and pandas with a naive front.

    python benchmarks/report_scale.py [--points 1000 10000 100000] [--pairs 20]

Makes stores of run folders with that many points in a temporary folder, and lets the index read
them once. Then, interleaved: the whole command as a process of its own against the bare
interpreter; the frame out of the index against pandas reading the same columns by SQL; our front
against a naive one, in which every point is compared with every other in numpy (not of the largest
store, where that takes a minute); the frame of each store against that of the one before it, as
often as it is larger.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import common
import numpy as np
import pandas as pd
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from analysis.frame import from_columns
from analysis.loading import uncollected
from analysis.metrics import AXES, QUALITY
from analysis.pareto import non_dominated, oriented
from prune.records import Record, to_json
from prune.store import Store
from tests.analysis.synthetic import PARTS, record

REPORT_MS, FRAME_MS = 10_000, 3_000  # P11, of 100,000 points; smaller stores are held to it, too
LINEAR = 1.1  # ten times the points may take so many times as long as ten smaller stores
MOST_NAIVE = 10_000  # points: with more the naive front takes a minute
CHUNK = 500  # points a comparison of the naive front: as much as memory takes without pain


def fill(root: Path, count: int) -> float:
    """`count` run folders with a point each, read into the index once; the seconds of that."""
    rng = random.Random(0)
    families = list(PARTS)
    for number in range(count):
        made = record(rng, families[number % len(families)], 0.05 + 0.9 * rng.random())
        made = Record(**{**vars(made), "run_id": f"{number:08x}", "group": f"g{number % 20:02d}"})
        folder = root / made.group / made.run_id
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(to_json(made)))
    start = time.perf_counter()
    Store(root).overview()
    return time.perf_counter() - start


def frame(root: Path) -> pd.DataFrame:
    with uncollected():
        return from_columns(Store(root).overview().columns())


def by_pandas(root: Path) -> pd.DataFrame:
    engine = sa.create_engine(f"sqlite:///{root}/index.db")
    query = "SELECT * FROM points JOIN runs ON runs.run = points.run"
    try:
        return pd.read_sql(query, engine)
    finally:
        engine.dispose()


def naive_front(x: Any, y: Any) -> Any:
    """Every point against every other one."""
    keep = np.ones(len(x), dtype=bool)
    for start in range(0, len(x), CHUNK):
        a, b = x[start : start + CHUNK, None], y[start : start + CHUNK, None]
        keep[start : start + CHUNK] = ~((x >= a) & (y >= b) & ((x > a) | (y > b))).any(axis=1)
    return keep


def report(root: Path) -> None:
    command = [sys.executable, "-P", "-m", "prune", "report", "--pareto"]
    env = {**os.environ, "PRUNE_RUNS": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root.parent, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"prune report failed: {done.stderr.strip()}")


def bare() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def rows_of(root: Path, count: int, pairs: int) -> list[common.Row]:
    table = frame(root)
    x, y = oriented(table, AXES["speedup"]), oriented(table, QUALITY["f1"])
    n = f"{count:,} points"

    def compare(
        names: tuple[str, str], a: Callable[[], Any], b: Callable[[], Any], ms: float
    ) -> Any:
        return common.compare(names, (a, b), "ms", ms, pairs)

    rows = [
        compare((f"`prune report --pareto`, {n}", "`python -c pass`"), lambda: report(root), bare,
                REPORT_MS),
        compare((f"the frame, {n}", "`pandas.read_sql`"), lambda: frame(root),
                lambda: by_pandas(root), FRAME_MS),
    ]  # fmt: skip
    if count <= MOST_NAIVE:
        if (naive_front(x, y) != non_dominated(x, y)).any():
            sys.exit("the fronts differ")
        names = (f"the front, {n}", "every point against every other")
        calls = (lambda: non_dominated(x, y), lambda: naive_front(x, y))
        rows.append(common.compare(names, calls, "ratio", 1.0, pairs))
    return rows


def linear(small: tuple[int, Path], large: tuple[int, Path], pairs: int) -> common.Row:
    """The frame of the larger store is no dearer than the smaller one's, as often as it fits."""
    times = large[0] // small[0]

    def several() -> None:
        for _ in range(times):
            frame(small[1])

    names = (f"the frame, {large[0]:,} points", f"that of {small[0]:,} points, {times} times")
    return common.compare(names, (lambda: frame(large[1]), several), "ratio", LINEAR, pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--pairs", type=int, default=common.MIN_PAIRS)
    asked = parser.parse_args()
    rows: list[common.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        stores = [(count, Path(folder, str(count), "runs")) for count in sorted(asked.points)]
        for count, root in stores:
            print(f"{count} points: index made in {fill(root, count):.1f} s", flush=True)
            rows += rows_of(root, count, asked.pairs)
        rows += [linear(*pair, asked.pairs) for pair in pairwise(stores)]
    path = common.write("report_scale", rows, threads=1, about="Reports of large stores")
    print(f"wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main()
