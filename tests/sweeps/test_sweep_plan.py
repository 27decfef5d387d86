"""Points -> trials: run ids, what they need first, what they cost."""

import dataclasses
import shlex

import pytest

from prune.compose import load
from prune.config import as_dict, run_id
from prune.errors import ConfigError
from prune.records import Record
from sweeps.plan import Plan, estimate, plan
from sweeps.space import changed, parse, read


def planned(*overrides: str, name: str = "toy") -> Plan:
    return plan(read(name, overrides))


def finished(plan: Plan, seconds: float) -> list[Record]:
    return [
        Record(t.run_id, plan.group, "done", config=as_dict(t.config), seconds=seconds)
        for t in [*plan.first, *plan.trials]
    ]


def test_a_command_composes_to_the_run_it_is_shown_with() -> None:
    made = planned("target.density=0.5,0.25", 'model.name="it\'s mine"')
    for trial in [*made.first, *made.trials]:
        program, command, *overrides = shlex.split(trial.command)
        assert (program, command) == ("prune", "train")
        config = load(overrides)
        assert (run_id(config), config.group) == (trial.run_id, trial.config.group)


def test_what_the_trials_need_is_planned_first_and_once() -> None:
    made = planned("seed=0,1", "target.density=0.5")
    assert [t.overrides for t in made.first] == [
        ("+experiment=dense_toy", "group=single"),
        ("+experiment=dense_toy", "seed=1", "group=single"),
    ]
    assert {t.config.group for t in made.trials} == {"toy"}
    assert planned(name="block_shapes").first == []  # its teacher comes from the hub


def test_numbers_labels_and_size() -> None:
    made = planned("target.density=0.5,0.25", "seed=7,8")
    assert [t.number for t in made.trials] == list(range(1, 13))
    assert made.trials[1].name == "#2  block 32x32 + neurons density=0.5 seed=8"
    assert made.first[0].name == "dense_toy"
    assert made.size() == "12 trials (3 families x 2 densities x 2 seeds)"
    shapes = planned("target.density=0.5", "experiment=toy", name="block_shapes")
    assert shapes.trials[0].label == "1x1"


def test_points_that_are_the_same_run_are_one_trial() -> None:
    space = changed(parse("test", {"space": {"seed": "choice(1)"}}), ["train.epochs=2,2.0"])
    made = plan(space)
    assert (len(made.trials), made.repeated) == (1, 1)
    assert "1 of them the same" in made.size()


def test_problems_of_all_points_come_together() -> None:
    with pytest.raises(ConfigError) as caught:
        planned("target.density=2,3", "train.lrr=1")
    assert "target.density=2.0 " in str(caught.value) and "density=3.0 " in str(caught.value)


def test_cost_is_that_of_finished_runs_of_the_same_kind() -> None:
    made = planned()
    everything = [*made.first, *made.trials]
    assert estimate(everything, [], 2) == (None, 0)
    count = len(made.trials)
    assert estimate(everything, finished(made, 10.0), 2) == (10 + count * 10 / 2, count + 1)
    other = planned("train.epochs=50")
    assert estimate(everything, finished(other, 10.0), 2) == (None, 0)
    halved = [dataclasses.replace(r, seconds=4.0) for r in finished(made, 10.0)]
    assert estimate(made.trials[:2], halved, 1) == (8.0, count)
