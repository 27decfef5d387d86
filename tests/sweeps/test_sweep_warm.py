"""The warm server: its runs are what fresh processes would be, and outlive it."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.executors import local
from sweeps.executors.local import environment
from sweeps.executors.warm import GONE, Forked, Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="runs are forked on Linux only")
WAIT_S = 200.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(environment(1), tmp_path_factory.mktemp("server") / "log")
    deadline = time.monotonic() + WAIT_S
    while not made.ready and time.monotonic() < deadline:
        made.listen()
        time.sleep(0.05)
    yield made
    made.close()


def fork(server: Server, log: Path, *overrides: str, **extra: str) -> Forked:
    child = server.fork(log.name, overrides, log, {**environment(2), **extra})
    assert child
    return child


def test_it_is_one_thread_so_that_a_fork_of_it_is_whole(server: Server) -> None:
    assert server.ready
    tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
    names = sorted((task / "comm").read_text().strip() for task in tasks)
    names = [name for name in names if name != "jemalloc_bg_thd"]  # of Arrow; it minds forks itself
    assert len(names) == 1


def test_a_run_gives_its_output_and_its_exit_code(server: Server, tmp_path: Path) -> None:
    fine = fork(server, tmp_path / "fine", "+experiment=toy", "--cfg", "job")
    wrong = fork(server, tmp_path / "wrong", "train.lrr=1")
    assert (fine.wait(), wrong.wait()) == (0, 2)
    assert "experiment: toy" in (tmp_path / "fine").read_text()
    assert "did you mean train.lr?" in (tmp_path / "wrong").read_text()


def test_a_run_is_a_session_with_its_own_environment_and_no_zombie(
    server: Server, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"  # that cannot be made: the run waits nowhere
    child = fork(server, tmp_path / "log", "+experiment=toy", PRUNE_RUNS=str(runs))
    assert os.getsid(child.pid) == child.pid
    deadline = time.monotonic() + WAIT_S
    while not runs.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not Path(f"/proc/{child.pid}").exists()


def test_runs_outlive_a_server_that_is_killed(tmp_path: Path, server: Server) -> None:
    child = fork(server, tmp_path / "log", "+experiment=toy", PRUNE_RUNS=str(tmp_path / "runs"))
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + WAIT_S
    while not server.dead and time.monotonic() < deadline:
        server.listen()
    assert child.poll() is None
    assert server.fork("next", ["--cfg"], tmp_path / "next", environment(1)) is None
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == GONE


def test_a_server_that_cannot_start_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.executors.warm.SERVER", (sys.executable, "-c", "raise SystemExit"))
    monkeypatch.setattr(local, "COLD", (sys.executable, "-c"))
    executor = local.LocalExecutor(1, program=local.COLD, warm=tmp_path / "log")
    assert executor.server
    executor.server.process.wait()
    executor.submit(local.Job("a", ("print('cold')",), tmp_path / "a"))
    while not executor.poll():
        time.sleep(0.02)
    assert (tmp_path / "a").read_text() == "cold\n" and executor.server.dead
    executor.cancel()
