"""Do runs end where they were asked to? Random targets, algorithms and policies on the toy task.

    python benchmarks/targets.py --runs 20

Each is a `prune train` of its own; a target is met within 3 %, a speed within the noise of its
measurement. So many rounds, because on a machine that others share the speedup of 61 rounds differs
from that of the next 61 by 2 %. What is missed is printed with the command that shows it.
"""

import argparse
import datetime
import json
import os
import random
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import RECORDED, environment
from transformers import PreTrainedModel

import prune
from prune.speed import measure
from prune.store import Store

LEARNED = ("topk", "threshold", "sigmoid_threshold", "l0", "magnitude")
POLICIES = (
    ("attention=block", "attention.block=[32,32]", "ffn=neurons"),
    ("attention=block", "attention.block=[8,8]", "ffn=neurons"),
    ("attention=dense", "ffn=neurons"),
    ("attention=block", "attention.block=[16,16]", "ffn=block", "ffn.block=[16,16]"),
)
CELL = (32, 64)  # batch and length that the toy task is measured at first
FASTER = (1.2, 2.2)  # the FFN alone makes the toy 2.5 times as fast, at most
FASTER_MS = (1.3, 1.75)  # so of milliseconds: when it runs, the machine may be 1.3 times as slow
KINDS = ("density", "speedup", "latency_ms", "params")


def draw(seed: int, dense_ms: float, parameters: int) -> list[str]:
    """Overrides of a run with a random target that its policy can reach."""
    rng = random.Random(seed)
    algorithm, kind = rng.choice(LEARNED), KINDS[seed % len(KINDS)]
    # Only where whole neurons die does a network of blocks get faster or smaller.
    policies = POLICIES if kind == "density" else POLICIES[:3]
    policy = rng.choice(policies)
    value = {
        "density": lambda: f"{rng.uniform(0.1, 0.9):.3f}",
        "speedup": lambda: f"{rng.uniform(*FASTER):.3f}",
        "latency_ms": lambda: f"{dense_ms / rng.uniform(*FASTER_MS):.2f}",
        "params": lambda: f"{round(parameters * rng.uniform(0.5, 0.9))}",
    }[kind]()
    chosen = [f"{part}.algorithm={algorithm}" for part in ("attention", "ffn")]
    return [*policy, *chosen, "target.density=null", f"target.{kind}={value}", f"seed={seed}"]


def run(overrides: Sequence[str], runs: Path) -> tuple[str, dict[str, Any]]:
    """What the run said of its target, and its record."""
    command = [sys.executable, "-P", "-m", "prune", "train", "+experiment=toy", *overrides]
    env = {**os.environ, "PRUNE_RUNS": str(runs)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        return f"refused: {done.stderr.strip().splitlines()[0]}", {}
    said = next(line for line in done.stdout.splitlines() if line.startswith("target "))
    folder = re.search(r"saved (\S+)/model", done.stdout)
    assert folder
    return said.split(None, 1)[1], json.loads(Path(folder[1], "result.json").read_text())


def dense_network(runs: Path) -> PreTrainedModel:
    """That of the dense run, which the first pruned one made."""
    records = Store(runs).records(status="done")
    dense = next(r for r in records if r.points[-1].stage == "dense")
    return prune.load(Path(dense.path, dense.points[-1].artifact))


def dense_ms(dense: PreTrainedModel, seen: list[float]) -> float:
    """The median of all measurements: of a machine that others share one says little."""
    seen.append(measure.latency(dense, dense, *CELL, rounds=61).dense_ms)
    return statistics.median(seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    folder = Path(tempfile.mkdtemp())
    base = ["train.epochs=1", "train.lr=1e-3", "measure.rounds=481"]
    base += ["model.name_or_path='experiment:dense_toy seed=0'"]
    base += ["teacher.name_or_path='experiment:dense_toy seed=0'"]
    _, first = run([*base, "target.density=0.5", "seed=0"], folder)
    whole = dense_network(folder)
    parameters = round(first["points"][0]["dense_size_mb"] * 1e6 / 4)
    rows, seen = [], list[float]()
    for seed in range(1, asked.runs + 1):
        overrides = draw(seed, dense_ms(whole, seen), parameters)
        said, record = run([*base, *overrides], folder)
        met = bool(record) and " met" in said
        quality = record["points"][0]["quality"] if record else {}
        rows.append({"overrides": overrides, "said": said, "met": met, "quality": quality})
        print(f"{'met   ' if met else 'MISSED'} {said:60} {shlex.join(overrides)}", flush=True)
    content = {
        "benchmark": "targets",
        "about": f"{sum(row['met'] for row in rows)} of {len(rows)} random targets met",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "environment": environment(asked.threads),
        "rows": rows,
    }
    (RECORDED / "targets.json").write_text(json.dumps(content, indent=1) + "\n")
    print(content["about"])


if __name__ == "__main__":
    main()
