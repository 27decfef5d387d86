"""What the report says about a task: fronts, reference, ties, budgets, notes, and their text."""

import csv
import dataclasses
import io
import math
import random
from typing import Any

import numpy as np
import pytest

from analysis.frame import frame
from analysis.metrics import AXES
from analysis.pareto import hypervolume
from analysis.summary import Summary, summarise
from analysis.table import about, budget_cells, csv_text, headline, lines, markdown, plain_rows
from prune.errors import StoreError
from prune.records import Record
from tests.analysis.synthetic import record, store


def run(quality: float, speedup: float, density: float = 0.5, **changes: Any) -> Record:
    """A hybrid run with exactly this evidence."""
    made = record(random.Random(f"{quality}{speedup}"), "hybrid 32x32", density)
    cells = [
        dataclasses.replace(cell, speedup=speedup, speedup_low=speedup - 0.1, speedup_high=speedup)
        for cell in made.points[0].latency
    ]
    point = dataclasses.replace(made.points[0], quality={"f1": quality}, latency=cells)
    return dataclasses.replace(made, points=[point], **changes)


def dense() -> Record:
    return record(random.Random(1), "dense", 1.0)


def summary(*runs: Record, x: str = "speedup", rule: str = "pareto") -> Summary:
    (found,) = summarise(frame(runs), AXES[x], rule)
    return found


def test_the_front_holds_pruned_points_and_the_dense_one_takes_part() -> None:
    slow, worse, better = run(88.0, 0.5), run(85.0, 1.5), run(87.0, 1.6)
    found = summary(dense(), slow, worse, better)
    assert found.front["run_id"].tolist() == [better.run_id]  # slow: dense is faster and better
    assert found.points["on_front"].tolist() == [True, False, False, True]
    assert found.pruned == 3
    assert headline(found) == "squad · 3 pruned points, 1 on the front · dense F1 88.5"


def test_the_reference_is_the_dense_runs_or_what_the_runs_were_compared_with() -> None:
    others = [record(random.Random(i), "dense", 1.0) for i in range(3)]
    others = [
        dataclasses.replace(
            r, points=[dataclasses.replace(r.points[0], quality={"f1": 88.0 + i / 2})]
        )
        for i, r in enumerate(others)
    ]
    assert "dense F1 88.5 (88.0 to 89.0)" in headline(summary(*others, run(87, 1.5)))
    assert "dense F1 88.5" in headline(summary(run(87, 1.5)))
    assert "dense" not in headline(summary(run(87, 1.5, reference={})))


def test_points_within_the_noise_are_ties_with_the_best_of_them() -> None:
    runs = [run(88.0, 1.2), run(87.8, 1.4), run(87.7, 1.6), run(87.2, 2.0)]
    found = summary(*runs)
    assert found.front["tie"].tolist() == ["", runs[0].run_id, runs[0].run_id, ""]
    text = "\n".join(lines(found, found.front))
    assert text.count(f"tie with {runs[0].run_id}") == 2
    assert "1.40x (1.30-1.40)" in text and "hybrid 32x32" in text


def test_a_list_of_all_points_has_a_star_at_those_on_the_front() -> None:
    found = summary(dense(), run(85.0, 1.5), run(87.0, 1.6))
    shown = lines(found, found.points)
    assert [line[0] for line in shown] == [" ", "*", " ", "*", "*"]
    assert shown[-1] == "* on the front"
    assert not any(line.startswith("*") for line in lines(found, found.front))


def test_two_tasks_have_a_front_each() -> None:
    found = summarise(frame([*store(30), *store(30, "toy")]), AXES["speedup"])
    assert [(s.name, s.task, s.pruned) for s in found] == [
        ("squad", "squad", 30),
        ("toy", "toy", 30),
    ]


def test_two_metrics_of_a_task_are_not_mixed() -> None:
    exact = run(70.0, 1.5)
    point = dataclasses.replace(exact.points[0], quality={"exact_match": 70.0})
    exact = dataclasses.replace(exact, metric="exact_match", points=[point])
    found = summarise(frame([run(80.0, 1.4), exact]), AXES["speedup"])
    assert [s.name for s in found] == ["squad_exact_match", "squad_f1"]


def test_a_metric_nobody_declared_is_an_error_that_names_it() -> None:
    with pytest.raises(StoreError, match=r"unknown metric 'f2'; did you mean f1.*metrics\.py"):
        summary(run(80.0, 1.5, metric="f2"))


def test_numbers_that_are_not_finite_reach_no_front_and_are_counted() -> None:
    found = summary(run(math.nan, 9.0), run(80.0, math.inf), run(80.0, 1.5))
    assert found.front["speedup"].tolist() == [1.5]
    assert "2 points without a finite speedup or F1 are on no front" in found.notes


def test_points_that_cannot_be_compared_are_named() -> None:
    other = run(80.0, 1.5)
    cell = dataclasses.replace(other.points[0].latency[0], batch=8)
    other = dataclasses.replace(
        other,
        config={**other.config, "model": {"name": "minilm_l6"}},
        points=[dataclasses.replace(other.points[0], latency=[cell])],
    )
    found = summary(run(81.0, 1.4), other)
    assert any("8 x 128 eager (1), 32 x 128 eager (1)" in note for note in found.notes)
    assert any("2 models (bert_base, minilm_l6)" in note for note in found.notes)
    assert math.isnan(found.volume)


def test_the_block_sparse_runtime_can_be_compared_and_may_be_the_front() -> None:
    plain = run(88.0, 1.5)
    point = plain.points[0]
    cells = [dataclasses.replace(c, runtime="block_sparse", speedup=2.0) for c in point.latency]
    both = dataclasses.replace(point, latency=[*point.latency, *cells])
    found = summary(dataclasses.replace(plain, points=[both]), dense())
    assert found.front["family"].tolist() == ["hybrid 32x32, block-sparse runtime"]
    assert not any("latency was measured" in note for note in found.notes)
    assert found.pruned == 2


def test_the_hypervolume_is_that_of_the_front_beyond_its_corner() -> None:
    found = summary(dense(), *store(40)[1:])
    x = found.front["speedup"].to_numpy()
    y = found.front["quality"].to_numpy()
    assert found.corner == (1.0, pytest.approx(79.65))
    assert found.volume == pytest.approx(hypervolume(x, y, found.corner))
    assert "beyond speedup 1.00x, F1 79." in about(found)
    by_density = summary(dense(), run(88.5, 1.5, density=0.5), x="density")
    assert by_density.volume == pytest.approx(0.5 * (88.5 - 79.65))


def test_budgets_name_the_best_run_of_each() -> None:
    runs = [run(88.0, 1.3), run(86.0, 1.7), run(85.0, 1.6)]
    rows = budget_cells(summary(dense(), *runs))
    assert [row[0] for row in rows] == ["speedup at least", "1.25x", "1.50x"]
    assert [row[-1] for row in rows[1:]] == [runs[0].run_id, runs[1].run_id]


@pytest.mark.parametrize("x", list(AXES))
@pytest.mark.parametrize("rule", ["pareto", "staircase"])
def test_every_axis_and_rule_gives_a_table_and_markdown(x: str, rule: str) -> None:
    found = summary(*store(40), x=x, rule=rule)
    column = found.front[AXES[x].column].to_numpy()
    steps = np.diff(column)  # from the best quality on, each row is cheaper
    assert (steps > 0).all() if AXES[x].higher else (steps < 0).all()
    text = markdown([found])
    assert text.count("\n| ") >= len(found.front) + 2
    assert all(command in text for command in found.front["command"])


def test_csv_gives_the_numbers_back() -> None:
    table = frame([*store(20), dataclasses.replace(store(1)[1], config={}, reference={})])
    rows = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert [row["run_id"] for row in rows] == table["run_id"].tolist()
    assert [float(r["quality"]) for r in rows] == pytest.approx(table["quality"].tolist(), abs=1e-6)
    assert rows[0]["seed"] == "0" and rows[-1]["seed"] == "" and rows[0]["heads"] == "144"


def test_plain_rows_have_no_nan() -> None:
    row = plain_rows(frame([run(math.nan, 1.5)]))[0]
    assert row["quality"] is None and row["speedup"] == 1.5 and row["heads"] == 72
