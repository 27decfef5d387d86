"""What a front of pruned networks costs beside a plain fine-tuning, with and without each cure.

    python benchmarks/front_cost.py toy +experiment=toy train.epochs=2 train.lr=1e-3

Everything is done by `prune train`, with the overrides given here, for each of `--densities`; first
as it was published (a teacher asked in every step, padded to one length, every point a run of its
own), then one cure after the other (or only the `--ways` named; of every one of `--seeds`, where
they are given). A plain fine-tuning is the dense network trained for as many
epochs on the same machine. Nothing else should run beside it. `table.py` puts the record where
docs/cost.md names it.
"""

import argparse
import datetime
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from common import RECORDED, environment
from sweep_front import without_folders

from prune.records import Record
from prune.store import Store

WORK = ("data", "teacher", "training")  # not what evidence costs: that is the same for all
CURES: dict[str, tuple[str, ...]] = {
    "as published": (
        "teacher.cache=false",
        "train.group_by_length=false",
        "shrink.in_training=false",
    ),
    "teacher's logits cached": ("teacher.cache=true",),
    "batches of similar length": ("train.group_by_length=true",),
    "dead weight cut off in training": ("shrink.in_training=true",),
    "forked from one trunk": (),  # and all of the above
}


@dataclass(frozen=True)
class Front:
    """One way to get all the points."""

    way: str
    seed: int | None  # None: the one that the overrides say
    points: int
    seconds: float  # of data, teacher and training, in all runs together
    each: float  # seconds a point / seconds of a plain fine-tuning
    steps: int
    quality: dict[str, float]  # density -> of the network that was saved
    stored: dict[str, float]  # density -> share of the prunable weights that are stored


def train(overrides: Sequence[str], runs: Path) -> None:
    command = [sys.executable, "-P", "-m", "prune", "--quiet", "train", *overrides]
    subprocess.run(command, check=True, env={**os.environ, "PRUNE_RUNS": str(runs)})


def records(runs: Path, group: str) -> list[Record]:
    return [r for r in Store(runs).records(status="done") if r.group == group]


def spent(found: Sequence[Record]) -> float:
    return sum(seconds for r in found for what, seconds in r.costs.items() if what in WORK)


def front(
    way: str, base: list[str], densities: list[float], runs: Path, plain: float, seed: int | None
) -> Front:
    group = way.replace(" ", "_").replace("'", "") + ("" if seed is None else f"_{seed}")
    cures = [o for name, each in CURES.items() for o in each]
    wanted = cures[: sum(len(each) for each in list(CURES.values())[: list(CURES).index(way) + 1])]
    asked = [*base, *wanted, f"group={group}", *([] if seed is None else [f"seed={seed}"])]
    if way == "forked from one trunk":
        *easier, hardest = sorted(densities, reverse=True)
        targets = ",".join(f"{value:g}" for value in easier)
        train([*asked, f"target.density={hardest:g}", f"train.targets=[{targets}]"], runs)
    else:
        for value in densities:
            train([*asked, f"target.density={value:g}"], runs)
    found = records(runs, group)
    found.sort(key=lambda r: -r.config["target"]["density"])  # a trunk is done before its forks
    by = {f"{r.config['target']['density']:g}": r for r in found}
    seconds = spent(found)
    return Front(
        way,
        seed,
        len(found),
        round(seconds, 1),
        round(seconds / len(found) / plain, 3),
        sum(r.steps for r in found),
        {d: round(r.points[-1].quality[r.metric], 2) for d, r in by.items()},
        {d: round(r.points[-1].density.stored, 3) for d, r in by.items()},
    )


def plain_seconds(dense: list[str], runs: Path) -> tuple[float, Record]:
    """A plain fine-tuning: the dense network, without a teacher."""
    train([*dense, "group=plain"], runs)
    (record,) = records(runs, "plain")
    return spent([record]), record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of the file: recorded/front_cost_NAME.json")
    parser.add_argument("overrides", nargs="+", help="of prune train, the experiment first")
    parser.add_argument(
        "--dense", nargs="+", required=True, help="overrides of a plain fine-tuning"
    )
    parser.add_argument("--densities", default="0.8,0.7,0.6,0.5,0.4,0.3,0.25,0.2,0.15,0.1")
    parser.add_argument("--ways", nargs="*", default=list(CURES), choices=list(CURES))
    parser.add_argument("--seeds", type=int, nargs="*", default=[None])
    parser.add_argument("--runs", type=Path, help="keep the runs there")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_intermixed_args()
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    runs = asked.runs or Path(tempfile.mkdtemp())
    densities = [float(value) for value in asked.densities.split(",")]
    plain, record = plain_seconds(asked.dense, runs)
    print(f"plain fine-tuning: {plain:.1f} s, {record.steps} steps", flush=True)
    fronts = []
    for seed, way in itertools.product(asked.seeds, asked.ways):
        fronts.append(front(way, asked.overrides, densities, runs, plain, seed))
        one = fronts[-1]
        print(f"{way:34} {one.seconds:8.1f} s   {one.each:6.2f} fine-tunings a point", flush=True)
    overrides = without_folders(" ".join(asked.overrides))
    content = {
        "benchmark": "front_cost",
        "about": f"a front of {len(densities)} points: {overrides}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "environment": environment(asked.threads),
        "plain_seconds": round(plain, 1),
        "plain_quality": record.points[-1].quality,
        "fronts": [asdict(one) for one in fronts],
    }
    path = RECORDED / f"front_cost_{asked.name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
