"""`prune sweep` as a process, with real children: it ends, fails, is killed, and resumes."""

import json
import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from conftest import ALONE, ONE, World

from prune import cli
from sweeps.plan import Plan
from sweeps.signals import Signals
from sweeps.space import names


def told(world: World) -> Counter[str]:
    """States of the Optuna trials."""
    with sqlite3.connect(world.runs / "index.db") as connection:
        return Counter(row[0] for row in connection.execute("SELECT state FROM trials"))


def test_a_sweep_runs_what_is_needed_first_then_every_trial_and_nothing_twice(
    world: World, whole: Plan
) -> None:
    ended = world.sweep(*ONE)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("toy: done 3 of 3 · front 1 point: 85.0@1.5x")
    assert ended.stdout.endswith("next: prune report --pareto\n")
    assert ended.stderr.startswith("toy · 3 trials (3 families) on 2 slots · no earlier run")
    first, *rest = world.starts()
    cores = len(os.sched_getaffinity(0))
    assert first[0] == whole.first[0].run_id and first[2:] == [str(cores), "single"]
    assert {r[0] for r in rest} == {t.run_id for t in whole.trials}
    assert {tuple(r[2:]) for r in rest} == {(str(max(1, cores // 2)), "toy")}
    assert told(world) == {"COMPLETE": 3}
    assert (world.runs / "toy" / "logs" / f"{first[0]}.log").exists()

    again = world.sweep(*ONE, "--json", "--quiet")
    assert (again.returncode, again.stderr) == (0, "")
    outcome = json.loads(again.stdout)
    assert outcome["total"] == 3 and len(outcome["done"]) == 3 and outcome["front"]

    dry = world.sweep("toy", "target.density=0.5,0.25", "--dry-run")
    assert "3 done" in dry.stdout and "about 15 s by 3 earlier runs of this kind" in dry.stdout
    assert dry.stdout.count("  done   prune train ") == 4
    assert set(world.tries().values()) == {1}


def test_a_search_is_killed_resumes_and_ends_with_its_trials(world: World) -> None:
    asked = ["hybrid_pareto", "experiment=toy", "teacher=none", "model.name_or_path=null"]
    asked += ["teacher.distil_weight=0.9", "trials=5", "slots=2", "objectives=[quality,density]"]
    world.close_gate()
    killed = world.start(*asked)
    running = world.running(2, "hybrid_pareto")
    killed.send_signal(signal.SIGKILL)
    world.ended(killed)
    world.open_gate()
    ended = world.sweep(*asked)
    assert ended.returncode == 0, ended.stderr
    assert "done 5 of 5" in ended.stdout and told(world) == {"COMPLETE": 5}
    assert set(running) < set(world.tries()) and set(world.tries().values()) == {1}
    again = world.sweep(*asked)
    assert again.returncode == 0 and sum(world.tries().values()) == 5


def test_a_dry_run_makes_nothing(
    runs: Path, whole: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", *ONE, "--dry-run"]) == 0
    header, first, *trials = capsys.readouterr().out.splitlines()
    assert header.startswith("toy · 3 trials (3 families) on 2 slots · no earlier run")
    assert first == f"  {whole.first[0].run_id}  first  {whole.first[0].command}"
    assert trials == [f"  {t.run_id}         {t.command}" for t in whole.trials]
    assert cli.main(["sweep", *ONE, "--dry-run", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [t["run_id"] for t in listed["trials"]] == [t.run_id for t in whole.trials]
    assert not runs.exists()


def test_a_killed_child_is_tried_again_and_a_failing_one_is_recorded(
    world: World, grid: Plan
) -> None:
    killed, failing, wrong = grid.trials
    (world.plan / killed.run_id).write_text("kill")
    (world.plan / failing.run_id).write_text("fail fail")
    (world.plan / wrong.run_id).write_text("usage")
    ended = world.sweep(*ALONE, "--json")
    assert ended.returncode == 3
    assert f"again   {killed.name}   {killed.run_id}   killed by SIGKILL" in ended.stderr
    assert "prune: done 1 of 3 · retried 2 · failed 2" in ended.stderr
    assert f"{failing.run_id}  the loss is not finite" in ended.stderr
    assert f"{wrong.run_id}  prune: attention.block=[48,48] does not divide it" in ended.stderr
    assert set(json.loads(ended.stdout)["failed"]) == {failing.run_id, wrong.run_id}
    tries = world.tries()
    assert (tries[killed.run_id], tries[failing.run_id], tries[wrong.run_id]) == (2, 2, 1)
    assert told(world) == {"COMPLETE": 1, "FAIL": 2}

    again = world.sweep(*ALONE)  # the cause is gone: the same command goes on
    assert again.returncode == 0, again.stderr
    assert world.statuses() == {"done": 3}
    assert world.tries()[killed.run_id] == 2


def test_a_broken_folder_and_a_full_disk_are_one_line(world: World, grid: Plan) -> None:
    broken = world.runs / "toy" / grid.trials[0].run_id
    broken.mkdir(parents=True)
    (broken / "result.json").write_text("{")
    ended = world.sweep(*ALONE, "max_retries=0")
    assert ended.returncode == 3
    assert f"{broken}/result.json is broken" in ended.stderr and "run again" in ended.stderr
    assert "done 2 of 3 · failed 1" in ended.stderr and "Traceback" not in ended.stderr
    (world.runs / "full").mkdir()
    (world.runs / "full" / "logs").touch()  # a folder that cannot be made
    ended = world.sweep(*ALONE, "group=full")
    assert ended.returncode == 1 and "prune: cannot use" in ended.stderr


def test_no_trial_starts_when_what_all_need_failed(world: World, whole: Plan) -> None:
    (world.plan / whole.first[0].run_id).write_text("fail fail")
    ended = world.sweep(*ONE)
    assert ended.returncode == 3
    assert "dense_toy" in ended.stderr and "the loss is not finite" in ended.stderr
    assert world.tries() == {whole.first[0].run_id: 2}


def test_a_killed_controller_resumes_adopts_and_runs_nothing_twice(world: World) -> None:
    world.close_gate()
    killed = world.start(*ALONE)
    adopted = world.running(2)
    killed.send_signal(signal.SIGKILL)
    world.ended(killed)
    assert len(world.alive()) == 2
    resumed = world.start(*ALONE)
    world.said(resumed, "adopt   ", 2)
    world.open_gate()
    ended = world.ended(resumed)
    assert ended.returncode == 0, ended.stderr
    assert world.statuses() == {"done": 3} and told(world) == {"COMPLETE": 3}
    assert set(world.tries().values()) == {1} and set(adopted) < set(world.tries())


def test_an_adopted_run_that_dies_is_run_again(world: World, grid: Plan) -> None:
    world.close_gate()
    foreign = world.child(*grid.trials[0].overrides)  # started by hand
    world.running(1)
    sweep = world.start(*ALONE)
    world.said(sweep, f"adopt   {grid.trials[0].name}")
    foreign.send_signal(signal.SIGKILL)
    world.said(sweep, f"again   {grid.trials[0].name}   {grid.trials[0].run_id}   ended without")
    world.open_gate()
    ended = world.ended(sweep)
    assert ended.returncode == 0, ended.stderr
    assert world.tries()[grid.trials[0].run_id] == 2 and world.statuses() == {"done": 3}


def test_the_first_ctrl_c_lets_them_finish(world: World) -> None:
    world.close_gate()
    sweep = world.start(*ALONE)
    running = world.running(2)
    sweep.send_signal(signal.SIGINT)
    world.said(sweep, "stopping: no new trials, 2 running will finish (Ctrl-C again")
    world.open_gate()
    ended = world.ended(sweep)
    assert ended.returncode == 130
    assert "done 2 of 3 · " in ended.stderr and "the same command resumes" in ended.stderr
    assert world.statuses() == {"done": 2} and not world.alive()
    resumed = world.sweep(*ALONE)
    assert resumed.returncode == 0 and "resuming toy: 2 of 3 done" in resumed.stderr
    assert set(world.tries().values()) == {1} and set(running) < set(world.tries())


def test_the_second_ctrl_c_ends_the_children_and_a_second_controller_is_refused(
    world: World,
) -> None:
    world.close_gate()
    sweep = world.start(*ALONE)
    world.running(2)
    second = world.sweep(*ALONE)
    assert second.returncode == 1
    assert f"prune: sweep toy is run by pid {sweep.pid} on {os.uname().nodename}" in second.stderr
    sweep.send_signal(signal.SIGINT)
    world.said(sweep, "stopping")
    sweep.send_signal(signal.SIGINT)
    ended = world.ended(sweep)
    assert ended.returncode == 130 and "cancelling 2 running" in ended.stderr
    assert not world.alive() and world.statuses() == {"interrupted": 2}


def test_sigterm_ends_the_children_of_any_stage(world: World) -> None:
    world.close_gate()
    sweep = world.start(*ONE)
    world.running(1, "single")
    sweep.terminate()
    ended = world.ended(sweep)
    assert ended.returncode == 75
    assert "prune: SIGTERM: done 0 of 3; the same command resumes" in ended.stderr
    assert not world.alive() and world.statuses("single") == {"interrupted": 1}


def test_signals_are_noted_and_handlers_put_back() -> None:
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and may be
    before = signal.getsignal(signal.SIGINT)
    with Signals() as noted:
        assert not noted.stopping
        os.kill(os.getpid(), signal.SIGINT)
        assert noted.stopping and not noted.cancelling
        os.kill(os.getpid(), signal.SIGHUP)
        assert noted.cancelling and noted.ended == signal.SIGHUP
    assert signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGHUP, hangup)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toi"], "unknown sweep 'toi'; did you mean toy? (choices: "),
        ([], "which sweep? (choices: "),
        (["toy", "--wet"], "unrecognized arguments: --wet"),
        (["toy", "slots=none"], "slots=none must be a whole number of at least 1"),
        (["toy", "seed=choice(1"], "seed=choice(1"),
        (["toy", "train.lrr=1", "seed=a,b"], "did you mean train.lr?"),
    ],
)
def test_wrong_usage(
    runs: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("prune: ") and message in said
    assert not runs.exists()


def test_help_names_the_sweeps_and_ends_in_an_example_that_runs(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in names())
    example = text.rpartition("Example: prune sweep ")[2].split()
    assert example[-1] == "--dry-run"
    assert cli.main(["sweep", *example]) == 0
