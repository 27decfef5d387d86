"""Early stop: who is beaten, and what a sweep does about it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from child import record_of
from conftest import ALONE, World
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from prune.errors import ConfigError
from prune.store import Store
from sweeps.early_stop import RUNGS, EarlyStop, Race, curve, early_stop
from sweeps.plan import Plan, plan
from sweeps.search import search
from sweeps.space import changed, parse
from sweeps.status import status
from sweeps.stopping import NOTE
from sweeps.study import open_study

LOSSES = st.lists(st.floats(0.1, 10), min_size=RUNGS, max_size=RUNGS)
CONFIG = {"task": {"name": "toy"}, "attention": {"geometry": "block", "block": [32, 32]}}


def lines(losses: list[float], density: float = 0.5, until: int = RUNGS) -> list[dict[str, float]]:
    """Two log lines a rung."""
    found = []
    for at in range(1, 2 * until + 1):
        loss = losses[(at - 1) // 2]
        found.append({"step": at, "steps": 2 * RUNGS, "loss": loss, "density": density})
    return found


def race(*measures: str, margin: float = 0.1, after: float = 0.0) -> Race:
    return Race(EarlyStop(margin, after), measures or ("quality", "density"))


@given(LOSSES, LOSSES, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(1, RUNGS))
def test_beaten_means_better_in_nothing_and_worse_by_the_margin_in_loss(
    mine: list[float], theirs: list[float], sparse: float, other: float, reached: int
) -> None:
    run = race()
    assert run.see("mine", CONFIG, lines(mine, sparse, reached)) == reached
    run.see("theirs", CONFIG, lines(theirs, other))
    at = reached - 1
    expected = other <= sparse and theirs[at] < mine[at] * 0.9
    assert bool(run.beaten("mine")) == expected or abs(theirs[at] - mine[at] * 0.9) < 1e-9
    assert not (run.beaten("mine") and run.beaten("theirs"))  # never both of a pair


@given(LOSSES)
def test_a_run_is_never_beaten_by_its_equal_nor_by_one_that_failed(losses: list[float]) -> None:
    run = race(margin=0.0)
    for name in ("a", "b"):
        run.see(name, CONFIG, lines(losses))
    assert not run.beaten("a")
    run.see("b", CONFIG, lines([loss / 2 for loss in losses]))
    assert run.beaten("a")
    run.forget("b")
    assert not run.beaten("a")


def test_only_what_can_be_compared_is() -> None:
    bad, good = lines([5.0] * RUNGS), lines([1.0] * RUNGS)
    other = {**CONFIG, "attention": {"geometry": "heads", "block": [32, 32]}}
    teacher = {**CONFIG, "teacher": {"distil_weight": 0.5}}
    for measures, config, expected in [
        (("quality",), other, True),
        (("quality", "density"), other, False),  # of other weights
        (("quality", "speedup"), other, False),  # another speed at the same density
        (("quality", "speedup"), CONFIG, True),
        (("quality",), teacher, False),  # another loss
    ]:
        run = race(*measures)
        run.see("mine", CONFIG, bad)
        run.see("theirs", config, good)
        assert bool(run.beaten("mine")) == expected, measures


def test_nobody_is_judged_before_its_time() -> None:
    run = race("quality", after=0.5)
    run.see("theirs", CONFIG, lines([1.0] * RUNGS))
    for reached in range(1, RUNGS):
        run.see("mine", CONFIG, lines([5.0] * RUNGS, until=reached))
        assert bool(run.beaten("mine")) == (reached >= RUNGS / 2)
    assert str(run.beaten("mine")) == "5 against 1 of theirs at 88 %"


def test_a_curve_is_of_the_rungs_that_are_over_in_the_first_phase() -> None:
    first = lines([1, 2, 3, 4, 5, 6, 7, 8])
    after = [{"step": 17.0, "steps": 24.0, "loss": 0.1}]  # the zeros are filled
    assert [c["loss"] for c in curve([*first, *after]).values()] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert set(curve(first[:5])) == {1, 2}  # the third is half over
    assert curve([{"step": 1.0}]) == {} == curve([])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (False, None),
        ("off", None),
        ("on", EarlyStop()),
        (True, EarlyStop()),
        ("0.3", EarlyStop(0.3)),
        ({"after": 0.5}, EarlyStop(after=0.5)),
        ("{margin: 0.2, after:0.5}", EarlyStop(0.2, 0.5)),
    ],
)
def test_how_it_is_asked_for(value: Any, expected: EarlyStop | None) -> None:
    assert early_stop(value) == expected == search({"early_stop": value}).early_stop


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("often", "margin=often must be a number"),
        (1.5, "margin=1.5 must be a number from 0 to below 1"),
        ({"after": "nan"}, "after=nan must be"),
        ({"margn": 0.1}, "margn"),
    ],
)
def test_what_makes_no_sense_is_refused(value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        early_stop(value)


FILE = {"experiment": "toy", "space": {"target.density": "choice(0.5,0.1)", "seed": "1,2"}}


def planned(*overrides: str) -> Plan:
    return plan(changed(parse("test", FILE), overrides))


@pytest.mark.parametrize("words", [(), ("sampler=tpe", "trials=4"), ("sampler=nsga2", "trials=4")])
def test_a_study_keeps_what_was_stopped_as_long_as_it_stands(
    runs: Path, words: tuple[str, ...]
) -> None:
    url, made = Store().url, planned("constraints=[drop <= 2]", *words)
    study = open_study(url, made, lambda run_id: None)
    first = study.ask()
    assert first
    study.tell(first, None, stopped=True)
    again = open_study(url, made, lambda run_id: None, lambda run_id: run_id == first.run_id)
    assert again.stopped == {first.run_id}
    while trial := again.ask():  # a sampler goes on, with several objectives too
        assert trial.run_id != first.run_id
        again.tell(trial, record_of(trial.config))
    states = {trial.state for trial in again.study.get_trials(deepcopy=False)}
    assert states == {TrialState.PRUNED, TrialState.COMPLETE}
    gone = open_study(url, made, {}.get)  # nobody says any more that it was stopped
    asked = set()
    while trial := gone.ask():
        asked.add(trial.run_id)
    assert first.run_id in asked


def test_a_beaten_trial_is_ended_noted_counted_and_left_alone(world: World, grid: Plan) -> None:
    asked = (*ALONE, "objectives=[quality]", "early_stop=on", "slots=1")
    slow = grid.trials[1]
    (world.plan / slow.run_id).write_text("slow")
    ended = world.sweep(*asked)
    assert ended.returncode == 0, ended.stderr
    assert f"stop    {slow.name}   {slow.run_id}   5 against 2.5 of " in ended.stderr
    assert "done 2 of 3 · stopped early 1 · front" in ended.stdout
    note = json.loads((world.runs / "toy" / slow.run_id / NOTE).read_text())
    assert (note["rung"], note["by"]) == (4, grid.trials[0].run_id)
    assert not world.alive()
    again = world.sweep(*asked, "--json")
    assert json.loads(again.stdout)["stopped"] == [slow.run_id]
    assert set(world.tries().values()) == {1}

    store = Store(world.runs)
    seen = status(grid, store)
    assert seen.outcome.stopped == {slow.run_id} and not seen.others
    # Whoever does not want it any more gets every trial to its end.
    last = world.sweep(*asked, "early_stop=off")
    assert "done 3 of 3 · front" in last.stdout, last.stderr
    assert world.tries()[slow.run_id] == 2
    assert status(grid, store).outcome.stopped == set()


def test_a_controller_that_is_killed_forgets_nothing_it_stopped(world: World, grid: Plan) -> None:
    asked = (*ALONE, "objectives=[quality]", "slots=1")
    slow = grid.trials[1]
    (world.plan / slow.run_id).write_text("slow")
    killed = world.start(*asked)  # without early stop: it hangs
    world.said(killed, f"start   {slow.name}")
    world.running(1)
    killed.kill()
    world.ended(killed)
    ended = world.sweep(*asked, "early_stop=on")  # adopts it, and sees that it is beaten
    assert ended.returncode == 0, ended.stderr
    assert f"adopt   {slow.name}" in ended.stderr and f"stop    {slow.name}" in ended.stderr
    assert "done 2 of 3 · stopped early 1" in ended.stdout
    assert world.tries()[slow.run_id] == 1 and os.path.exists(world.runs / "toy" / slow.run_id)
