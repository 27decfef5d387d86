"""Runs as Slurm jobs: submitit's local mode for real, and a stand-in for Slurm's four commands."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ALONE, World, until

from prune.errors import ConfigError, UsageError
from prune.store import Store
from sweeps.attempts import Attempts
from sweeps.controller import Controller
from sweeps.executors import Ended, Executor, Job
from sweeps.executors.remote import where
from sweeps.launcher import LAUNCHERS, Launcher, launcher
from sweeps.plan import Plan
from sweeps.progress import Quiet
from sweeps.space import changed, parse

pytest.importorskip("submitit", reason="needs submitit: pip install 'prune[slurm]'")
from sweeps.executors.slurm import SlurmExecutor

SBATCH = """#!/bin/bash
# Starts the job as a session of its own and says its number, as sbatch does.
echo "$@" >> $STUB/submitted; cp "${@: -1}" $STUB/last.sh
export SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0
export SLURM_JOB_NODELIST=node1
setsid bash -c 'export SLURM_JOB_ID=$$; exec bash "$0"' "${@: -1}" > /dev/null 2>&1 &
echo "Submitted batch job $!"
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do case $1 in --output|--error) shift 2;; *) shift;; esac; done
exec "$@"
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
while [ $# -gt 0 ]; do
  if [ "$1" = -j ]; then
    state=$(grep ^State: /proc/$2/status 2> /dev/null)  # a zombie has ended
    [[ -n $state && $state != *Z* ]] && echo "$2|RUNNING|node1" || echo "$2|FAILED|node1"
  fi; shift
done
"""
SCANCEL = """#!/bin/bash
echo "$@" >> $STUB/cancelled; kill -TERM -- "-$1"
"""


ELSEWHERE = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$0" "$@"')


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with Slurm's commands in it, in the path of every process."""
    folder = tmp_path / "stub"
    folder.mkdir()
    for name, text in [("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("scancel", SCANCEL)]:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("STUB", str(folder))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def wait(executor: Executor) -> Ended:
    return until(executor.poll)[0]


def test_what_is_asked_of_slurm() -> None:
    file = {"space": {"seed": "1,2"}, "launcher": "slurm", "slurm": {"partition": "cpu"}}
    space = parse("test", file)
    assert space.launcher == Launcher("slurm", {"slurm": {"partition": "cpu"}})
    asked = changed(space, ["slurm.partition=gpu", "slurm.gpus_per_node=1", "seed=3"])
    assert asked.launcher.options == {"partition": "gpu", "gpus_per_node": 1}
    assert asked.fixed == ["seed=3"]
    assert changed(asked, ["launcher=local"]).launcher.name == "local" == LAUNCHERS[0]
    with pytest.raises(UsageError, match="slrm"):
        launcher({"launcher": "slrm"})
    with pytest.raises(ConfigError, match="options of sbatch"):
        launcher({"launcher": "slurm", "slurm": "gpu"})


def test_options_that_slurm_does_not_know_are_refused(slurm: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="partion"):
        SlurmExecutor(1, 1, tmp_path / "jobs", {"partion": "gpu"})
    with pytest.raises(UsageError, match="cluster"):
        SlurmExecutor(1, 1, tmp_path / "jobs", {"cluster": "sge"})


def test_without_slurm_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="where sbatch is"):
        SlurmExecutor(1, 1, tmp_path / "jobs", {})


@pytest.mark.parametrize(("code", "expected"), [("pass", 0), ("raise SystemExit(7)", 7)])
def test_in_local_mode_a_child_ends_as_it_does_here(
    tmp_path: Path, code: str, expected: int
) -> None:
    program = [sys.executable, "-c"]
    executor = SlurmExecutor(1, 3, tmp_path / "jobs", {"cluster": "local"}, program)
    words = f"import os; print(os.environ['OMP_NUM_THREADS'], flush=True); {code}"
    job = Job("a", (words,), tmp_path / "logs" / "a.log")
    assert executor.fits(job) and executor.submit(job) == 0 and not executor.fits(job)
    assert wait(executor) == Ended("a", expected) and executor.fits(job)
    assert job.log.read_text() == "3\n"


def test_a_job_of_slurm_gets_its_options_and_ends_when_it_is_asked_to(
    slurm: Path, tmp_path: Path
) -> None:
    options = {"partition": "gpu", "gpus_per_node": 2, "timeout_min": 90}
    program = [sys.executable, "-c"]
    executor = SlurmExecutor(2, 4, tmp_path / "jobs", options, program)
    log = tmp_path / "a.log"
    code = "import time; print('up', flush=True); time.sleep(300)"
    executor.submit(Job("a", (code,), log))
    script = (slurm / "last.sh").read_text()
    for line in ("partition=gpu", "gpus-per-node=2", "time=90", "cpus-per-task=4"):
        assert f"#SBATCH --{line}\n" in script
    until(lambda: log.exists() and "up" in log.read_text())

    after = SlurmExecutor(2, 4, tmp_path / "jobs", options, program)  # another controller
    after.submit(Job("a", (code,), log))  # it is there already
    assert len((slurm / "submitted").read_text().splitlines()) == 1
    after.stop("a")
    assert wait(after).run_id == "a"
    number = log.with_suffix(".job").read_text()
    assert (slurm / "cancelled").read_text().split()[0] == number
    executor.cancel()
    assert not executor.placed


def test_a_job_whose_machine_is_lost_ends_without_a_result(slurm: Path, tmp_path: Path) -> None:
    executor = SlurmExecutor(1, 1, tmp_path / "jobs", {}, [sys.executable, "-c"])
    log = tmp_path / "a.log"
    executor.submit(Job("a", ("import time; print('up', flush=True); time.sleep(300)",), log))
    until(lambda: log.exists() and "up" in log.read_text())
    os.killpg(int(log.with_suffix(".job").read_text()), signal.SIGKILL)
    job = executor.placed[0].job
    assert job
    until(lambda: job.over(surely=True))  # otherwise Slurm is asked once a minute
    assert str(wait(executor)) == "ended without a result"


def test_a_run_that_is_killed_on_another_machine_leaves_no_lock_behind(
    world: World, grid: Plan, slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if subprocess.run([*ELSEWHERE[:2], "true"], capture_output=True).returncode:
        pytest.skip("needs to give a process another host name: only root may")
    (slurm / "srun").write_text(SRUN.replace("exec", f"exec {shlex.join(ELSEWHERE)}"))
    mounts = tmp_path / "mounts"  # on a network file system nobody can know that a lock is free
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/toy {world.runs}/toy nfs4 rw 0 0\n")
    monkeypatch.setattr("prune.store.files.MOUNTS", mounts)
    for name, value in world.environment().items():
        monkeypatch.setenv(name, value)
    (world.plan / grid.trials[0].run_id).write_text("kill")
    program = [sys.executable, str(Path(__file__).with_name("child.py"))]
    executor = SlurmExecutor(3, 1, tmp_path / "jobs", {}, program)
    outcome = Controller(grid, Store(), executor, Quiet(), Attempts()).run()
    assert len(outcome.done) == 3 and outcome.retried == 1
    there = where(world.runs / "toy" / "logs" / f"{grid.trials[0].run_id}.log")
    assert there and there.host == "elsewhere"
    assert sorted(world.tries().values()) == [1, 1, 2]


@pytest.mark.parametrize("options", [("slurm.cluster=local",), ()], ids=["local", "stub"])
def test_a_sweep_of_slurm_jobs_is_the_sweep_it_is_here(
    world: World, grid: Plan, slurm: Path, options: tuple[str, ...]
) -> None:
    (world.plan / grid.trials[0].run_id).write_text("fail")
    ended = world.sweep(*ALONE, "launcher=slurm", "threads=1", *options)
    assert ended.returncode == 0, ended.stderr
    assert "done 3 of 3 · retried 1" in ended.stdout
    assert "the loss is not finite" in ended.stderr
    assert world.statuses() == {"done": 3} and not world.alive()
    assert sorted(world.tries().values()) == [1, 1, 2]
    used = (slurm / "submitted").exists()
    assert used == (not options)
