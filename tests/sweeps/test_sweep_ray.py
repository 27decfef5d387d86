"""Runs on a real Ray cluster of two machines, both of them here; one of them is lost."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ALONE, World, exists, until

from prune.errors import ConfigError, UsageError
from sweeps.executors import Ended, Executor, Job, local
from sweeps.executors.remote import where
from sweeps.space import changed, parse

pytest.importorskip("ray", reason="needs Ray: pip install 'prune[ray]'")
from sweeps.executors.ray import RayExecutor

PYTHON = [sys.executable, "-c"]
QUIET = {"include_dashboard": False, "include_log_monitor": False}
HEALTH = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}
SPAWN = "import subprocess, time; subprocess.Popen(['sleep', '60']); print('up', flush=True);"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
NVIDIA_SMI = "#!/bin/sh\necho 'GPU-11111111-2222-3333-4444-555555555555, 1000'\n"


def processes(folder: str) -> list[str]:
    """What Ray has running of the cluster in this folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended just now
        if folder in words:
            found.append(words)
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A machine with two cores; in a folder with a short name, for it holds sockets."""
    from ray._private.utils import get_ray_address_file
    from ray.cluster_utils import Cluster

    # Ray writes there whatever folder it is given, and on a new machine it is not there.
    Path(get_ray_address_file(None)).parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="ray-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else a token is left in the user's home
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 2, "temp_dir": folder, "_system_config": HEALTH, **QUIET}
        made = Cluster(initialize_head=True, head_node_args=head)
        yield made
        made.shutdown()
    until(lambda: not processes(folder))
    shutil.rmtree(folder)


@pytest.fixture
def executors(cluster: Any) -> Iterator[Any]:
    """Makes them, one after the other: each is the controller's that comes after the last."""
    made: list[RayExecutor] = []

    def make(slots: int = 2, **options: Any) -> RayExecutor:
        if made:
            made[-1].close()  # as if it was killed: its jobs go on
        made.append(RayExecutor(slots, 1, {"address": cluster.address, **options}, PYTHON))
        return made[-1]

    yield make
    made[-1].cancel()


def wait(executor: Executor) -> Ended:
    return until(executor.poll)[0]


def said(log: Path, text: str) -> bool:
    return log.exists() and text in log.read_text()


def test_what_is_asked_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    space = parse("test", {"space": {"seed": "1,2"}, "launcher": "ray", "ray": {"num_gpus": 0.5}})
    asked = changed(space, ["ray.num_gpus=0.25", "ray.resources={big: 1}", "ray.address=head:1"])
    assert asked.launcher.name == "ray" and not asked.fixed
    assert asked.launcher.options == {
        "num_gpus": 0.25,
        "resources": {"big": 1},
        "address": "head:1",
    }
    with pytest.raises(UsageError, match="needs launcher=ray"):
        changed(parse("test", {"space": {"seed": "1,2"}}), ["ray.num_gpus=1"])
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'prune\[ray\]'"):
        RayExecutor(1, 1, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_gpu": 1}, "did you mean num_gpus"),
        ({"num_gpus": 1.5}, "ray.num_gpus=1.5 must be a whole number"),
        ({"num_cpus": "all"}, "ray.num_cpus=all must be"),
        ({"resources": "big"}, "as in ray.resources="),
        ({"resources": {"big": -1}}, "ray.resources.big=-1 must be"),
    ],
)
def test_options_that_ray_does_not_know_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        RayExecutor(1, 1, options)
    assert len(str(caught.value).splitlines()) == 1


def test_where_nobody_listens_there_is_no_cluster() -> None:
    with pytest.raises(UsageError, match=r"no cluster at localhost:1 .*ray start --head"):
        RayExecutor(1, 1, {"address": "localhost:1"})


def test_a_child_ends_as_it_does_here(
    executors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for decoy in ("prune", "sweeps"):
        (tmp_path / f"{decoy}.py").write_text("raise SystemExit('the decoy was imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNE_RUNS", "somewhere")
    executor = executors(slots=1)
    names = ("OMP_NUM_THREADS", "PRUNE_RUNS", "CUDA_VISIBLE_DEVICES")
    shown = f"import os; print(os.getcwd(), *map(os.environ.get, {names}), flush=True);"
    for code, expected in (("", 0), ("raise SystemExit(7)", 7), ("os.kill(os.getpid(), 9)", -9)):
        job = Job("a", (shown + code,), tmp_path / "logs" / "a.log")
        assert executor.fits(job) and executor.submit(job) == 0 and not executor.fits(job)
        assert executor.waiting("a") or where(job.log)
        assert wait(executor) == Ended("a", expected) and executor.fits(job)
    assert job.log.read_text() == f"{tmp_path} 1 somewhere \n" * 3


def test_a_job_that_waits_or_runs_is_found_by_the_next_controller(
    executors: Any, tmp_path: Path
) -> None:
    first = executors(slots=3)
    code = f"import os, time; {SPAWN} time.sleep(60)"
    jobs = [Job(name, (code,), tmp_path / f"{name}.log") for name in "abc"]
    for job in jobs:
        first.submit(job)
    until(lambda: sum(said(job.log, "up") for job in jobs) == 2)  # there are two cores
    (waits,) = (job for job in jobs if not job.log.exists())
    # What Ray says of a job comes a moment after what the job says.
    until(lambda: [first.waiting(job.run_id) for job in jobs] == [job == waits for job in jobs])

    after = executors(slots=3)
    runs = next(job for job in jobs if job != waits)
    there = where(runs.log)
    assert there and after.adopt(runs.run_id, there, lambda: exists(there.pid), runs.log) == 0
    after.submit(waits)  # it is in the queue already
    after.stop(waits.run_id)
    assert wait(after).run_id == waits.run_id and not waits.log.exists()
    after.stop(runs.run_id)
    ended = wait(after)
    assert (ended.run_id, ended.code, ended.where) == (runs.run_id, -signal.SIGTERM, there)
    (third,) = (job for job in jobs if job not in (waits, runs))
    after.submit(third)
    after.cancel()
    assert all(job.log.read_text() == "up\n" for job in (runs, third))  # nobody was started twice


def test_a_child_ends_with_its_actor_and_is_killed_if_it_does_not_listen(
    executors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 1)
    executor = executors()
    code = f"{DEAF} {SPAWN} print(os.getppid(), flush=True); time.sleep(60)"
    jobs = [Job(name, ("import os;" + code,), tmp_path / f"{name}.log") for name in "ab"]
    for job in jobs:
        executor.submit(job)
    until(lambda: all(job.log.exists() and len(job.log.read_text().split()) == 2 for job in jobs))
    groups = [there.pid for job in jobs if (there := where(job.log))]
    executor.stop("a")
    assert wait(executor) == Ended("a", -signal.SIGKILL)
    os.kill(int(jobs[1].log.read_text().split()[1]), signal.SIGKILL)  # the actor
    assert str(wait(executor)) == "ended without a result"
    until(lambda: not any(map(group_exists, groups)))


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_runs_share_a_gpu_by_their_memory_or_by_what_is_asked(
    cluster: Any, executors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(NVIDIA_SMI)
    tool.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        node = cluster.add_node(num_cpus=8, num_gpus=1, **QUIET)
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); input()"

    def beside(executor: RayExecutor, memory_mb: float | None, alone: bool = False) -> float:
        return executor._share(Job("", (), tmp_path, alone, memory_mb))

    try:
        executor = executors(num_cpus=1)
        assert executor.device_mb == 1000
        assert [beside(executor, mb) for mb in (None, 95, 300, 5000)] == [1, 0.1, 0.3158, 1]
        assert beside(executor, 95, alone=True) == 1
        executor.submit(Job("a", (code,), tmp_path / "a.log", memory_mb=300))
        assert wait(executor).code == 1 and said(tmp_path / "a.log", "0\n")
        assert [beside(executors(num_gpus=0.25), mb) for mb in (None, 300)] == [0.25, 0.25]
    finally:
        cluster.remove_node(node)


def test_the_next_controller_adopts_and_what_a_lost_machine_had_is_tried_again(
    cluster: Any, world: World
) -> None:
    node = cluster.add_node(num_cpus=1, **QUIET)
    asked = (*ALONE, "launcher=ray", f"ray.address={cluster.address}", "threads=1", "slots=3")
    world.close_gate()
    killed = world.start(*asked)
    world.running(3)
    killed.send_signal(signal.SIGKILL)
    world.ended(killed)
    assert len(world.alive()) == 3

    resumed = world.start(*asked, "--json")
    world.said(resumed, "adopt   ", 3)
    raylet = node.all_processes["raylet"][0].process.pid  # its child, the actor, has the run
    (lost,) = (start[0] for start in world.starts() if parent(parent(int(start[1]))) == raylet)
    cluster.remove_node(node, allow_graceful=False)
    world.said(resumed, "again   ")
    world.open_gate()
    ended = world.ended(resumed)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("{") and "raylet" not in ended.stderr  # Ray has no say
    assert world.statuses() == {"done": 3} and not world.alive()
    assert world.tries() == dict.fromkeys(world.tries(), 1) | {lost: 2}


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_cluster_of_its_own_ends_with_the_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tempfile.mkdtemp(prefix="ray-")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    world.close_gate()
    sweep = world.start(*ALONE, "launcher=ray", "ray.address=local")
    world.running(1)
    assert processes(folder)
    sweep.terminate()
    ended = world.ended(sweep)
    assert ended.returncode == 75, ended.stderr
    assert not world.alive() and not ended.stdout
    until(lambda: not processes(folder))
    shutil.rmtree(folder)
