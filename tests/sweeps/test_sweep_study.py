"""Ask and tell on a real database: a mirror of the store a killed controller leaves open."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from child import record_of
from optuna.trial import TrialState

from prune.errors import StoreError
from prune.store import Store
from sweeps.plan import Plan, Trial, plan
from sweeps.space import changed, parse
from sweeps.study import GridStudy, Study
from sweeps.study.base import name

FILE = {"experiment": "toy", "space": {"target.density": "choice(0.5,0.1)", "seed": "1,2"}}


def planned(*overrides: str) -> Plan:
    return plan(changed(parse("test", FILE), overrides))


@pytest.fixture(scope="module")
def grid() -> Plan:
    return planned()


@pytest.fixture
def url(runs: Path) -> str:
    return Store().url  # the index of the runs is there already


def asked(study: Study) -> Iterator[Trial]:
    while trial := study.ask():
        yield trial


def opened(url: str, plan: Plan, *done: Trial) -> Study:
    known = {trial.run_id: record_of(trial.config) for trial in done}
    return GridStudy(url, plan, known.get)


def states(study: Study) -> list[TrialState]:
    return [trial.state for trial in study.study.get_trials(deepcopy=False)]


def test_a_grid_is_asked_once_in_its_order(url: str, grid: Plan) -> None:
    study = opened(url, grid)
    assert list(asked(study)) == grid.trials
    assert study.ask() is None


def test_what_was_told_is_not_asked_again(url: str, grid: Plan) -> None:
    study = opened(url, grid)
    first, second = study.ask(), study.ask()
    assert first and second
    study.tell(first, record_of(first.config))
    study.tell(second, None)
    again = opened(url, grid, first)
    found = list(asked(again))
    assert {t.run_id for t in found} == {t.run_id for t in grid.trials} - {first.run_id}
    assert states(again).count(TrialState.COMPLETE) == 1
    assert states(again).count(TrialState.FAIL) == 1  # and its point is open again


def test_what_a_killed_controller_left_open_is_asked_first_and_can_be_told(
    url: str, grid: Plan
) -> None:
    killed = opened(url, grid)
    left = [killed.ask(), killed.ask()]
    study = opened(url, grid)
    assert [study.ask(), study.ask()] == left
    assert left[1]
    study.tell(left[1], record_of(left[1].config))
    assert len(list(asked(study))) == len(grid.trials) - 2
    assert len(states(study)) == len(grid.trials)  # no trial was added


def test_what_was_enqueued_and_not_asked_is_asked_once(url: str, grid: Plan) -> None:
    killed, last = opened(url, grid), grid.trials[-1]
    assert last.point
    attributes = {"run_id": last.run_id, "command": last.command}
    killed.study.enqueue_trial(dict(last.point.labels), user_attrs=attributes)
    found = list(asked(opened(url, grid)))
    assert found[0] == last and found[1:] == grid.trials[:-1]


def test_a_run_that_was_removed_is_asked_again(url: str, grid: Plan) -> None:
    study = opened(url, grid)
    for trial in asked(study):
        study.tell(trial, record_of(trial.config))
    assert opened(url, grid, *grid.trials).ask() is None
    assert opened(url, grid).ask() == grid.trials[0]


def test_the_study_holds_objectives_labels_and_run_ids(url: str, grid: Plan) -> None:
    study = opened(url, grid)
    trial = study.ask()
    assert trial
    study.tell(trial, record_of(trial.config))
    told = study.study.get_trials(deepcopy=False)[0]
    assert told.values == [85.0, 1.5, 0.5]
    assert told.params == {"target.density": "0.5", "seed": "1"}
    assert told.user_attrs == {"run_id": trial.run_id, "command": trial.command}


def test_a_changed_space_is_a_new_study(grid: Plan) -> None:
    assert name(grid) == name(planned())
    assert len({name(grid), name(planned("seed=1,3")), name(planned("train.lr=0.1"))}) == 3
    assert name(grid).startswith("test-")


def test_a_database_that_cannot_be_used_is_one_line(tmp_path: Path, grid: Plan) -> None:
    file = tmp_path / "index.db"
    file.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match="the study in the index cannot be used") as caught:
        opened(f"sqlite:///{file}", grid)
    assert len(str(caught.value).splitlines()) == 1


def test_index_and_study_share_a_database(url: str, grid: Plan, runs: Path) -> None:
    opened(url, grid)
    Store().rebuild()
    with sqlite3.connect(runs / "index.db") as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert {"runs", "points", "studies", "trials"} <= tables
    assert len(list(asked(opened(url, grid)))) == len(grid.trials)
