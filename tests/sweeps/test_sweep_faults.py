"""What goes wrong in a sweep is recorded, tried again or named; the sweep goes on."""

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ALONE, World, until

from sweeps.plan import Plan


def test_each_fault_gets_what_it_deserves(world: World, grid: Plan) -> None:
    nan, oom, hang = grid.trials
    (world.plan / nan.run_id).write_text("nan")
    (world.plan / oom.run_id).write_text("oom")
    (world.plan / hang.run_id).write_text("hang")
    ended = world.sweep(*ALONE, "timeout_s=20")
    assert ended.returncode == 3
    assert f"failed  {nan.name}   {nan.run_id}   the loss is nan" in ended.stderr
    assert f"again   {oom.name}   {oom.run_id}   CUDA out of memory" in ended.stderr
    assert f"again   {hang.name}   {hang.run_id}   took more than 20 s" in ended.stderr
    assert "done 2 of 3 · retried 2 · failed 1" in ended.stderr
    tries = world.tries()
    assert (tries[nan.run_id], tries[oom.run_id], tries[hang.run_id]) == (1, 2, 2)
    threads = {start[2] for start in world.starts() if start[0] == oom.run_id}
    assert str(len(os.sched_getaffinity(0))) in threads  # alone: it may have all cores
    assert not world.alive()


def test_a_folder_that_vanishes_while_it_runs_is_made_again(world: World, grid: Plan) -> None:
    world.close_gate()
    sweep = world.start(*ALONE)
    first = world.running(2)[0]
    shutil.rmtree(world.runs / "toy" / first)
    world.open_gate()
    ended = world.ended(sweep)
    assert ended.returncode == 0, ended.stderr
    assert world.statuses() == {"done": 3} and world.tries()[first] == 2


def test_a_result_that_is_deleted_or_spoilt_afterwards(world: World, grid: Plan) -> None:
    assert world.sweep(*ALONE).returncode == 0
    deleted, spoilt, _ = (world.runs / "toy" / trial.run_id for trial in grid.trials)
    shutil.rmtree(deleted)
    (spoilt / "result.json").write_text('{"format": 1, "points": [NaN')
    ended = world.sweep(*ALONE)
    assert ended.returncode == 3 and f"{spoilt}/result.json is broken" in ended.stderr
    assert world.statuses() == {"done": 2, "broken": 1}
    (spoilt / "result.json").unlink()  # as it says
    assert world.sweep(*ALONE).returncode == 0
    assert world.statuses() == {"done": 3}


@pytest.fixture
def small_disk(runs: Path) -> Iterator[Path]:
    """The runs folder on a disk of its own."""
    runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(runs)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs a small disk: only root may mount a tmpfs")
    yield runs
    subprocess.run(["umount", "-l", str(runs)], check=True)


def test_a_full_disk_is_named_nothing_is_half_written_and_the_same_command_goes_on(
    world: World, small_disk: Path
) -> None:
    world.close_gate()
    sweep = world.start(*ALONE, "max_retries=0")
    world.running(2)
    with pytest.raises(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    world.open_gate()
    ended = world.ended(sweep)
    assert ended.returncode in (1, 3)
    assert "free some space" in ended.stderr and "Traceback" not in ended.stderr
    assert not world.alive()
    (small_disk / "ballast").unlink()
    assert world.statuses()["broken"] == 0
    again = world.sweep(*ALONE)
    assert again.returncode == 0, again.stderr
    assert world.statuses() == {"done": 3}


def test_trial_and_controller_killed_together(world: World) -> None:
    world.close_gate()
    sweep = world.start(*ALONE)
    first, second = world.running(2)
    for pid in [sweep.pid, *world.alive()[:1]]:
        os.kill(pid, signal.SIGKILL)
    world.ended(sweep)
    until(lambda: world.statuses() == Counter(running=1, interrupted=1))
    world.open_gate()
    assert world.sweep(*ALONE).returncode == 0
    assert world.statuses() == {"done": 3}
    assert sorted(world.ends()) == sorted(world.tries())  # each to its end, once
    assert sorted([world.tries()[first], world.tries()[second]]) == [1, 2]
