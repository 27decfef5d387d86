"""Means and deviations over runs that differ in their seed alone."""

import dataclasses
import random
import statistics

import pytest

from analysis.frame import frame
from analysis.metrics import AXES, QUALITY
from analysis.seeds import over_seeds, seed_lines
from analysis.summary import summarise
from analysis.table import footnotes
from prune.records import Record
from tests.analysis.synthetic import record


def seeded(count: int, density: float = 0.4) -> list[Record]:
    """`count` runs of one setting, seed 0 to count - 1, each with its own luck."""
    first = record(random.Random(1), "hybrid 32x32", density)
    found = []
    for seed in range(count):
        other = record(random.Random(seed), "hybrid 32x32", density)
        config = {**first.config, "seed": seed}
        found.append(dataclasses.replace(other, config=config, run_id=f"{seed:08x}"))
    return found


def test_the_mean_and_the_deviation_are_those_of_the_runs() -> None:
    runs = seeded(4)
    (row,) = over_seeds(frame([*runs, *seeded(1, 0.7)]), AXES["speedup"]).to_dict("records")
    values = [run.points[0].quality["f1"] for run in runs]
    speeds = [run.points[0].latency[0].speedup for run in runs]
    assert row["seeds"] == 4 and row["run_id"] == "00000000"
    assert row["quality"] == pytest.approx(statistics.mean(values))
    assert row["quality_std"] == pytest.approx(statistics.stdev(values))
    assert row["x"] == pytest.approx(statistics.mean(speeds))
    assert row["x_std"] == pytest.approx(statistics.stdev(speeds))


def test_the_same_seed_twice_is_one_run() -> None:
    runs = [dataclasses.replace(run, config=seeded(1)[0].config) for run in seeded(3)]
    assert over_seeds(frame(runs), AXES["speedup"]).empty


def test_stages_are_not_mixed_and_what_is_not_finite_is_left_out() -> None:
    runs = seeded(2)
    both = [
        dataclasses.replace(r, points=[*r.points, dataclasses.replace(r.points[0], stage="filled")])
        for r in runs
    ]
    found = over_seeds(frame(both), AXES["speedup"])
    assert sorted(found["family"]) == ["hybrid 32x32", "hybrid 32x32 filled"]
    lost = dataclasses.replace(runs[1].points[0], quality={"f1": float("nan")})
    odd = [runs[0], dataclasses.replace(runs[1], points=[lost])]
    assert over_seeds(frame(odd), AXES["speedup"]).empty


def test_the_report_says_them() -> None:
    (summary,) = summarise(frame(seeded(3)), AXES["speedup"])
    (line,) = [line for line in footnotes(summary) if line.startswith("over")]
    assert line.startswith("over 3 seeds: F1 8") and "hybrid 32x32 (00000000)" in line
    many = [run for i in range(7) for run in renamed(seeded(2, 0.3 + i / 20), i)]
    lines = seed_lines(
        over_seeds(frame(many), AXES["speedup"]), AXES["speedup"], QUALITY["f1"], most=5
    )
    assert len(lines) == 6 and lines[-1] == "and 2 more settings with several seeds"


def renamed(runs: list[Record], number: int) -> list[Record]:
    return [dataclasses.replace(run, run_id=f"{number}{run.run_id[1:]}") for run in runs]
