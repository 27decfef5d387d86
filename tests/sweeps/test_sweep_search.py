"""Searches on a real database: samplers, constraints, what is known already, what was left."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from child import record_of
from optuna.trial import TrialState

from prune.errors import ConfigError, PruneError, UsageError
from prune.records import Record
from prune.store import Store
from sweeps.plan import Plan, Trial, plan, trial_of
from sweeps.search import Constraint, measured, search
from sweeps.space import Space, changed, parse
from sweeps.study import SearchStudy
from sweeps.study.search import preview, sampler

FILE = {
    "experiment": "toy",
    "space": {
        "target.density": "tag(log, interval(0.05, 0.8))",
        "attention.block": "choice(16x16, 32x32)",
        "seed": "int(interval(1, 9))",
    },
    "sampler": "tpe",
    "trials": 8,
    "objectives": ["quality", "speedup"],
    "constraints": ["density <= 0.5"],
}


def space(*overrides: str) -> Space:
    return changed(parse("test", FILE), overrides)


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(space())


@pytest.fixture
def url(runs: Path) -> str:
    return Store().url


class Finished(dict[str, Record]):
    """What the store has."""

    def finish(self, trial: Trial) -> Record:
        return self.setdefault(trial.run_id, record_of(trial.config))


def run(study: SearchStudy, known: Finished, count: int = 1000) -> list[Trial]:
    """Ask and tell, at most `count` times."""
    found: list[Trial] = []
    while len(found) < count and (trial := study.ask()):
        study.tell(trial, known.finish(trial))
        found.append(trial)
    return found


def states(study: SearchStudy) -> list[TrialState]:
    return [trial.state for trial in study.study.get_trials(deepcopy=False)]


@pytest.mark.parametrize(
    ("name", "objectives"),
    [
        ("tpe", "quality"),
        ("tpe", "quality,density"),
        ("nsga2", "quality,density"),
        ("random", "quality"),
        ("qmc", "quality"),
    ],
)
def test_every_sampler_asks_for_points_of_the_space_until_its_trials_are_used(
    url: str, name: str, objectives: str
) -> None:
    if name == "qmc":
        pytest.importorskip("scipy", reason="sampler=qmc needs SciPy")
    made = plan(space(f"sampler={name}", f"objectives=[{objectives}]", "seed=1"))
    known = Finished()
    study = SearchStudy(url, made, known.get)
    found = run(study, known)
    assert len(found) == study.total == len(study.done)
    assert len(found) == 8 or (name == "nsga2" and len(found) > 4)  # a child may equal a parent
    for trial in found:
        assert trial.config.target.density and 0.05 <= trial.config.target.density <= 0.8
        assert trial.config.attention.block in ([16, 16], [32, 32]) and trial.config.seed == 1
    told = study.study.get_trials(deepcopy=False)
    assert len(told) == 8 and {t.state for t in told} == {TrialState.COMPLETE}
    for frozen in told:
        trial = made.space.at(frozen.params)
        expected = measured(known[trial_of(made.space, trial, 0).run_id])
        assert frozen.values == [expected[o] for o in objectives.split(",")]
        assert (frozen.constraints["density <= 0.5"] <= 0) == (expected["density"] <= 0.5)
    assert study.study.metric_names == objectives.split(",")


def test_a_plan_shows_the_first_that_will_be_asked(url: str, planned: Plan) -> None:
    study = SearchStudy(url, planned, Finished().get)
    assert len(planned.trials) == 5 and planned.total == 8
    assert [study.ask() for _ in range(5)] == planned.trials
    assert planned.size() == "8 trials (tpe for quality and speedup, density <= 0.5)"


def test_what_a_killed_controller_left_is_asked_first_and_nothing_is_lost(
    url: str, planned: Plan
) -> None:
    known = Finished()
    killed = SearchStudy(url, planned, known.get)
    told = run(killed, known, 3)
    left = [killed.ask(), killed.ask()]
    killed.study.ask({})  # it died while this one was asked
    study = SearchStudy(url, planned, known.get)
    assert set(study.done) == {trial.run_id for trial in told}
    assert [study.ask(), study.ask()] == left
    for trial in left:
        assert trial
        study.tell(trial, known.finish(trial))
    assert len(run(study, known)) == 3
    assert states(study).count(TrialState.COMPLETE) == 8 and len(known) == 8


def test_a_sampler_that_starts_again_does_not_ask_the_same_again(url: str) -> None:
    made, known = plan(space("sampler=random")), Finished()
    first = run(SearchStudy(url, made, known.get), known, 3)
    second = run(SearchStudy(url, made, known.get), known)
    assert len({trial.run_id for trial in first + second}) == 8


def test_what_failed_or_was_removed_is_tried_again_and_more_trials_go_on(
    url: str, planned: Plan
) -> None:
    known = Finished()
    study = SearchStudy(url, planned, known.get)
    failing = study.ask()
    assert failing
    study.tell(failing, None)
    done = run(study, known)
    assert len(done) == 7 and study.ask() is None
    del known[done[2].run_id]
    again = SearchStudy(url, planned, known.get)
    assert {t.run_id for t in run(again, known)} == {failing.run_id, done[2].run_id}
    more = SearchStudy(url, plan(space("trials=10")), known.get)
    assert len(more.done) == 8 and len(run(more, known)) == 2


def test_a_point_that_is_known_is_told_at_once_and_one_that_runs_is_told_with_it(url: str) -> None:
    content = {**FILE, "space": {"seed": "choice(1,2)"}, "trials": 6, "sampler": "random"}
    made, known = plan(parse("few", content)), Finished()
    study = SearchStudy(url, made, known.get)
    first, second = study.ask(), study.ask()
    assert first and second and study.ask() is None  # all others are one of the two
    assert study.total == 2
    for trial in (first, second):
        study.tell(trial, known.finish(trial))
    assert states(study) == [TrialState.COMPLETE] * 6
    again = SearchStudy(url, made, known.get)
    assert again.ask() is None and again.total == 2 and len(again.done) == 2


def test_a_point_that_is_no_run_fails_and_is_named(url: str) -> None:
    made = plan(space("seed=1"))
    broken = changed(made.space, ["train.lr=tag(log,interval(1e-4,1e-3))", "train.lrr=1"])
    study = SearchStudy(url, Plan(broken, "test", [], [], 1), Finished().get)
    assert study.ask() is None
    assert len(study.problems) == 8 and "did you mean train.lr?" in study.problems[0]
    assert set(states(study)) == {TrialState.FAIL}


def test_a_better_sampler_than_chance(url: str) -> None:
    known = Finished()
    made = plan(space("objectives=[density]", "constraints=[quality >= 80]", "trials=26", "seed=1"))
    trials = run(SearchStudy(url, made, known.get), known)
    late = [t.config.target.density for t in trials[12:]]
    # quality is 90 - 20 (1 - density)^2: 80 is met from 0.293 on
    assert sum(0.29 < (d or 0) < 0.4 for d in late) > 4  # by chance: 1.6


def test_tpe_makes_way_where_it_would_take_too_long() -> None:
    many = search({"sampler": "tpe", "trials": 9000, "objectives": ["quality", "speedup"]})
    one = search({"sampler": "tpe", "trials": 9000, "objectives": ["quality"]})
    assert isinstance(sampler(many, 10), optuna.samplers.TPESampler)
    assert isinstance(sampler(many, 5000), optuna.samplers.NSGAIISampler)
    assert isinstance(sampler(one, 5000), optuna.samplers.TPESampler)


def test_values_are_those_a_person_would_type() -> None:
    for values in preview(space(), 5):
        density, block, seed = space().at(values).overrides[1:]
        assert len(density) <= len("target.density=0.05123") and block.startswith("attention.block")
        assert seed == f"seed={values['seed']}"


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ({"sampler": "tpee", "trials": 3}, UsageError, r"did you mean tpe\?"),
        ({"sampler": "tpe"}, UsageError, "needs trials=N"),
        ({"sampler": "tpe", "trials": "0"}, UsageError, "needs trials=N"),
        ({"objectives": ["speed"]}, UsageError, r"did you mean speedup\?"),
        ({"objectives": "[]"}, UsageError, "at least one"),
        ({"constraints": ["drop < 2"]}, ConfigError, "must be as in: drop <= 2"),
        ({"constraints": ["drop <= 2e"]}, ConfigError, "2e is not a number"),
        ({"constraints": "drip <= 2"}, UsageError, r"did you mean drop\?"),
    ],
)
def test_a_wrong_search(how: dict[str, Any], kind: type[PruneError], message: str) -> None:
    with pytest.raises(kind, match=message):
        search(how)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr=interval(2,1)", "must be rising"),
        ("train.lr=tag(log,interval(0,1))", "above 0"),
        ("train.lr=tag(lgo,interval(1,2))", "did you mean log"),
        ("train.lr=interval(1", "train.lr=interval"),
        ("sampler=grid", "a grid needs choice"),
    ],
)
def test_a_wrong_interval(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(override)


def test_a_constraint_that_was_not_measured_is_not_met() -> None:
    assert Constraint("drop", "<=", 2).violation({}) > 0
    assert Constraint("drop", "<=", 2).violation({"drop": 1}) == -1
    assert Constraint("quality", ">=", 2).violation({"quality": 1}) == 1


def test_the_command_line_wins_over_the_file() -> None:
    made = space("sampler=nsga2", "objectives=density", "constraints=[]", "trials=3").search
    assert (made.sampler, made.objectives, made.constraints, made.trials) == (
        "nsga2",
        ("density",),
        (),
        3,
    )
