"""Which checkpoint is picked, what is said when none fits; two sweeps against each other."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from analysis import choosing
from analysis.command import main as report
from analysis.compare import compare
from analysis.deploy import Shipped
from analysis.frame import frame
from analysis.metrics import AXES, QUALITY
from analysis.recommend import lines, main
from prune.errors import MissingInputError, UsageError
from prune.records import Record
from tests.analysis.conftest import Filled
from tests.analysis.publications import checkpoint, file
from tests.analysis.synthetic import record, store

F1 = QUALITY["f1"]


def recommend(runs: list[Record], max_drop: float, ms: float | None = None, **more: Any) -> Any:
    return choosing.recommend(choosing.candidates(frame(runs), F1), F1, max_drop, ms, **more)


def run(f1: float, ms: float, group: str = "block_shapes", wide: float = 0.0) -> Record:
    """A run at that quality (dense: 88.5) and latency (dense: 100 ms)."""
    made = record(random.Random(f"{f1} {ms} {group}"), "hybrid 32x32", 0.5)
    ratio = 100 / ms
    cell = dataclasses.replace(
        made.points[0].latency[0],
        dense_ms=100.0,
        pruned_ms=ms,
        speedup=ratio,
        speedup_low=ratio / (1 + wide),
        speedup_high=ratio,
    )
    point = dataclasses.replace(made.points[0], quality={"f1": f1}, latency=[cell])
    return dataclasses.replace(made, group=group, points=[point])


RUNS = [run(88.0, 60), run(87.8, 50), run(87.0, 40), run(85.0, 20)]


@pytest.mark.parametrize(
    ("max_drop", "latency_ms", "picked"),
    [
        (1.0, None, 1),  # the fastest within the drop; 87.0 is 1.5 below
        (1.6, None, 1),  # 1.5 and 0.3 for noise is too much
        (1.8, None, 2),
        (10.0, None, 3),
        (1.8, 55, 1),
        (1.8, 60, 1),  # 88.0 and 87.8 tie: the faster one
        (10.0, 45, 2),
    ],
)
def test_the_pick_keeps_a_margin(max_drop: float, latency_ms: float | None, picked: int) -> None:
    found = recommend(RUNS, max_drop, latency_ms)
    assert found["run_id"] == RUNS[picked].run_id


def test_a_latency_counts_with_the_end_of_its_interval() -> None:
    runs = [run(88.0, 50, wide=0.2), run(87.0, 55)]
    assert recommend(runs, 5.0, 60)["run_id"] == runs[0].run_id
    assert recommend(runs, 5.0, 56)["run_id"] == runs[1].run_id


def test_times_of_different_moments_are_compared_by_their_speedups() -> None:
    slow_day = run(88.0, 50)  # twice as fast as dense; the machine was busy
    (cell,) = slow_day.points[0].latency
    busy = dataclasses.replace(cell, dense_ms=300.0, pruned_ms=150.0)
    point = dataclasses.replace(slow_day.points[0], latency=[busy])
    runs = [dataclasses.replace(slow_day, points=[point]), run(88.1, 60), run(88.2, 70)]
    found = recommend(runs, 1.0)
    assert found["run_id"] == slow_day.run_id and found["pruned_ms"] == pytest.approx(50)


def shipped(drop: float, ms: float) -> Shipped:
    return Shipped("export/x", "model.onnx", "onnx runtime", 88.5 - drop, drop, ms, ms, 1.0, 1e-6)


def test_a_file_that_misses_says_what_to_try_instead() -> None:
    rows = choosing.candidates(frame(RUNS), F1)
    found = choosing.recommend(rows, F1, 1.8)
    assert found["run_id"] == RUNS[2].run_id
    assert choosing.missed(shipped(1.5, 30), F1, 1.8, 30) == []
    (slow,) = choosing.missed(shipped(1.5, 31), F1, 1.8, 30)
    assert slow == "up to 31 ms (at most 30)"
    (lost,) = choosing.missed(shipped(2.0, 30), F1, 1.8, None)
    assert "a drop of 2.0 F1 (with 0.3 for noise, at most 1.8)" in lost
    after = choosing.next_candidate(rows, F1, found, shipped(2.0, 30), 1.8, None)
    assert after and after["run_id"] == RUNS[1].run_id  # the fastest of the better ones
    assert choosing.next_candidate(rows, F1, found, shipped(1.5, 31), 1.8, 30) is None
    first = choosing.recommend(rows, F1, 1.8, 60)
    after = choosing.next_candidate(rows, F1, first, shipped(0.7, 99), 1.8, 60)
    assert after and after["run_id"] == RUNS[2].run_id  # faster, and within the drop


def test_for_another_runtime_the_fastest_is_tried() -> None:
    with pytest.raises(MissingInputError):
        recommend(RUNS, 1.8, 10)
    assert recommend(RUNS, 1.8, 10, exported=True)["run_id"] == RUNS[2].run_id
    with pytest.raises(MissingInputError):
        recommend(RUNS, 0.1, 10, exported=True)


def test_the_next_faster_one_has_its_price() -> None:
    found = recommend(RUNS, 1.0)
    assert found["next"]["run_id"] == RUNS[2].run_id
    assert found["next"]["costs"] == pytest.approx(0.8)
    assert found["next"]["saves_ms"] == pytest.approx(10)
    text = "\n".join(lines(found, F1))
    assert "costs 0.8 F1 for 10.0 ms" in text and "(-0.7 +-0.3), 50.0 ms" in text
    assert recommend(RUNS, 10)["next"] is None


def test_none_that_fits_names_the_nearest() -> None:
    with pytest.raises(MissingInputError, match=r"none of 4 .*; the best has 0.5 at 60.0 ms"):
        recommend(RUNS, 0.1)
    with pytest.raises(MissingInputError, match=r"and 10 ms; .* the fastest 20.0 ms with a drop"):
        recommend(RUNS, 1.0, 10)


def test_what_cannot_be_shipped_is_not_picked(filled: Filled) -> None:
    from analysis.published import records

    published = [r for r in records(file(one=checkpoint()), "a") if isinstance(r, Record)]
    with pytest.raises(MissingInputError, match="no checkpoint of yours"):
        recommend([*published, *store(0)], 50)


def test_the_command_prints_a_snippet_that_names_the_model(
    filled: Filled, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(RUNS)
    assert main(["--max-drop", "1.0", "--task", "squad"]) == 0
    printed = capsys.readouterr().out.splitlines()
    folder = runs / RUNS[1].group / RUNS[1].run_id / "model"
    code = printed[printed.index("to use it:") + 1 :]
    assert f"folder = {str(folder)!r}" in code and "model = prune.load(folder)" in code
    assert main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == str(folder)


def test_the_block_sparse_runtime_is_a_candidate_of_its_own() -> None:
    plain = run(88.0, 60)
    point = plain.points[0]
    fast = dataclasses.replace(
        point.latency[0], runtime="block_sparse", pruned_ms=30.0, speedup=100 / 30
    )
    made = dataclasses.replace(point, latency=[*point.latency, fast])
    found = recommend([dataclasses.replace(plain, points=[made])], 1.0)
    assert found["runtime"] == "block_sparse" and found["pruned_ms"] == pytest.approx(30)


def test_several_tasks_have_to_be_told_apart(filled: Filled) -> None:
    filled([*store(3), *store(3, "toy")])
    with pytest.raises(UsageError, match=r"several tasks \(squad, toy\): choose --task"):
        main([])


def test_two_sweeps_are_compared_at_each_budget() -> None:
    runs = [run(88.0, 60, "one"), run(86.0, 40, "one"), run(87.9, 60, "two"), run(87.0, 40, "two")]
    (found,) = compare(frame(runs), ("one", "two"), AXES["speedup"], "pareto")
    assert (found.counts, found.fronts, found.beaten) == ((2, 2), (2, 2), (1, 1))
    verdicts = {row["limit"]: (row["verdict"], row["difference"]) for row in found.budgets}
    assert verdicts[1.5] == ("tie", pytest.approx(-0.1))
    assert verdicts[2.0] == ("second", pytest.approx(1.0))
    assert found.volumes[1] > found.volumes[0]
    (other,) = compare(frame(runs), ("two", "one"), AXES["speedup"], "pareto")
    assert other.volumes == found.volumes[::-1] and other.beaten == found.beaten[::-1]


def test_the_comparison_is_printed(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    filled([run(88.0, 60, "one"), run(87.0, 60, "two")])
    assert report(["--compare", "one", "two"]) == 0
    printed = capsys.readouterr().out
    assert "squad · F1 against speedup · one and two" in printed
    assert "speedup at least 1.50x: 88.0 and 87.0 (-1.0): one" in printed
    assert report(["--compare", "one", "two", "--json"]) == 0
    (task,) = json.loads(capsys.readouterr().out)["compared"]
    assert task["budgets"][0]["verdict"] == "first"
    assert report(["--compare", "one", "two", "--csv"]) == 0
    assert capsys.readouterr().out.startswith("task,limit,first,second,difference,verdict\n")
    with pytest.raises(MissingInputError, match="no points in group 'three'; there are: one, two"):
        report(["--compare", "one", "three"])
