"""Children of this machine: slots, threads, endings, and nothing left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname

import pytest

from sweeps.executors import Ended, Job, Where, local
from sweeps.executors.local import LocalExecutor, cores, environment
from sweeps.executors.slots import Device

ANY = Job("", (), Path(), memory_mb=0.0)
ELSEWHERE = Where("another machine", 1)

SPAWN = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print('up', flush=True);"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    made = LocalExecutor(2, program=[sys.executable, "-c"])
    yield made
    made.cancel()


def wait(executor: LocalExecutor) -> Ended:
    while not (ended := executor.poll()):
        time.sleep(0.02)
    return ended[0]


def wait_for(log: Path, text: str) -> None:
    while not (log.exists() and text in log.read_text()):
        time.sleep(0.02)


def members(group: int) -> int:
    """Processes of this process group, zombies too."""
    done = subprocess.run(["ps", "-eo", "pgid="], capture_output=True, text=True)
    return done.stdout.split().count(str(group))


def test_slots_fill_and_are_freed(executor: LocalExecutor, tmp_path: Path) -> None:
    jobs = [Job(str(i), ("input()",), tmp_path / str(i)) for i in range(2)]
    assert [executor.submit(job) for job in jobs] == [0, 1]
    assert not executor.fits(ANY)
    while len(executor.placed):  # their stdin is closed
        assert {str(ended) for ended in executor.poll()} <= {"exit code 1"}
        time.sleep(0.02)
    assert executor.fits(ANY)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "exit code 0"),
        ("raise SystemExit(7)", "exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
    ],
)
def test_how_a_child_ended(executor: LocalExecutor, tmp_path: Path, code: str, words: str) -> None:
    executor.submit(Job("a", (code,), tmp_path / "log"))
    assert str(wait(executor)) == words


def test_threads_are_shared_out_and_a_job_alone_has_all(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    code = "import os, prune; print(os.environ['OMP_NUM_THREADS'])"
    for alone in (False, True):
        executor.submit(Job("a", (code,), tmp_path / "log", alone))
        wait(executor)
    assert (tmp_path / "log").read_text().split() == [str(max(1, cores() // 2)), str(cores())]
    assert LocalExecutor(1, threads=7).threads == 7


def test_a_child_imports_the_prune_of_its_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PRUNE_QUIET", "1")
    found = environment(1)
    root = str(Path(__file__).resolve().parents[2])
    assert found["PYTHONPATH"] in (f"{root}{os.pathsep}/elsewhere", "/elsewhere")
    assert "PRUNE_QUIET" not in found
    assert (sys.executable, "-P", "-m", "prune", "train") == local.PROGRAM


def test_a_child_that_ends_takes_its_own_children_along(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    executor.submit(Job("a", (SPAWN,), tmp_path / "log"))
    group = executor.placed[0].pid
    wait(executor)
    last = time.monotonic() + 30  # the system reaps what has no parent
    while members(group) and time.monotonic() < last:
        time.sleep(0.02)
    assert not members(group)


@pytest.mark.parametrize("prelude", ["", DEAF])
def test_cancel_leaves_nothing(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prelude: str
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.5)
    executor.submit(Job("a", (prelude + SPAWN + "import time; time.sleep(60)",), tmp_path / "log"))
    group = executor.placed[0].pid
    wait_for(tmp_path / "log", "up")
    executor.cancel()
    assert not executor.placed
    while members(group):
        time.sleep(0.02)


def test_what_was_adopted_fills_a_slot_until_it_is_gone(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    alive = True
    for slot, name in enumerate("ab"):
        assert executor.adopt(name, ELSEWHERE, lambda: alive, tmp_path / name) == slot
    assert not executor.fits(ANY) and not executor.poll()
    alive = False
    assert [str(ended) for ended in executor.poll()] == ["ended without a result"] * 2
    assert executor.fits(ANY)


def test_one_job_is_stopped_and_killed_if_it_does_not_listen(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.5)
    endless = "import time; print('up', flush=True); time.sleep(60)"
    for name, prelude in (("deaf", DEAF), ("other", "")):
        executor.submit(Job(name, (prelude + endless,), tmp_path / name))
        wait_for(tmp_path / name, "up")
    executor.stop("deaf")
    assert (ended := wait(executor)).run_id == "deaf" and str(ended) == "killed by SIGKILL"
    executor.stop("other")
    assert str(wait(executor)) == "killed by SIGTERM"


def test_a_job_sees_its_device_and_the_next_controller_knows_it(tmp_path: Path) -> None:
    devices = [Device("GPU-a", 1000), Device("GPU-b", 1000)]
    program = [sys.executable, "-c"]
    executor = LocalExecutor(8, program=program, devices=devices)
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    for name in "ab":
        executor.submit(Job(name, (code,), tmp_path / f"{name}.log"))
    while executor.placed:
        executor.poll()
        time.sleep(0.02)
    assert (tmp_path / "a.log").read_text() == "GPU-a\n"
    assert (tmp_path / "b.log").read_text() == "GPU-b\n"
    resumed = LocalExecutor(8, program=program, devices=devices)
    resumed.adopt("b", ELSEWHERE, lambda: True, tmp_path / "b.log")
    assert [resumed.slots.free_mb(device) for device in devices] == [950, 0]


def test_cancel_leaves_alone_what_no_controller_started(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    with subprocess.Popen(["sleep", "60"]) as foreign:  # in our session, as in someone's shell
        where = Where(gethostname(), foreign.pid)
        executor.adopt("a", where, lambda: foreign.poll() is None, tmp_path / "log")
        executor.cancel()
        assert foreign.poll() is None
        foreign.kill()
