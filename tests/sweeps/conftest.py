"""A sweep in a process of its own, with real children that store real results."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from prune.config import as_dict
from prune.store import Store
from sweeps.plan import Plan, plan
from sweeps.space import read

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE_S = 240.0  # for a machine that is busy otherwise


ONE = ("toy", "target.density=0.5")  # a dense run and three trials
ALONE = (*ONE, "teacher=none", "model.name_or_path=null")  # the trials need no other run


@pytest.fixture(scope="session")
def whole() -> Plan:
    return plan(read("toy", ONE[1:]))


@pytest.fixture(scope="session")
def grid() -> Plan:
    return plan(read("toy", ALONE[1:]))


class World:
    """A runs folder, the sweeps started in it, and what their children were."""

    def __init__(self, folder: Path, runs: Path, plans: list[Plan]) -> None:
        self.folder, self.runs, self.configs = folder, runs, folder / "configs.json"
        trials = [trial for plan in plans for trial in [*plan.first, *plan.trials]]
        known = {" ".join(trial.overrides): as_dict(trial.config) for trial in trials}
        self.configs.write_text(json.dumps(known))
        self.trace, self.plan, self.gate = folder / "trace", folder / "plan", folder / "gate"
        self.plan.mkdir()
        self.trace.touch()
        self.gate.touch()
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`prune sweep` with these arguments; what it says goes to files."""
        return self._start("drive.py", *arguments)

    def child(self, *overrides: str) -> subprocess.Popen[bytes]:
        """A run that no sweep started."""
        return self._start("child.py", *overrides)

    def environment(self) -> dict[str, str]:
        """What a sweep and its children see."""
        return {
            "PYTHONPATH": str(ROOT),
            "PRUNE_RUNS": str(self.runs),
            "OMP_NUM_THREADS": "1",
            "CHILD_CONFIGS": str(self.configs),
            "CHILD_TRACE": str(self.trace),
            "CHILD_PLAN": str(self.plan),
            "CHILD_GATE": str(self.gate),
        }

    def _start(self, script: str, *arguments: str) -> subprocess.Popen[bytes]:
        out, err = (self.folder / f"{name}{len(self.processes)}" for name in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, str(HERE / script), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=os.environ | self.environment(),
                cwd=self.folder,
            )
        self.processes.append(process)
        return process

    def sweep(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.ended(self.start(*arguments))

    def close_gate(self) -> None:
        """Children wait at it, in the middle of their run."""
        self.gate.unlink()

    def open_gate(self) -> None:
        self.gate.touch()

    def said(self, process: subprocess.Popen[bytes], text: str, times: int = 1) -> None:
        """Wait until `process` has said `text` on stderr."""
        err = self.folder / f"err{self.processes.index(process)}"
        until(lambda: err.read_text().count(text) >= times)

    def ended(self, process: subprocess.Popen[bytes]) -> subprocess.CompletedProcess[str]:
        code, number = process.wait(PATIENCE_S), self.processes.index(process)
        out, err = (self.folder / f"{name}{number}" for name in ("out", "err"))
        return subprocess.CompletedProcess(process.args, code, out.read_text(), err.read_text())

    def starts(self) -> list[list[str]]:
        """Run id, pid, threads and group of every child, in the order of their starts."""
        return [line.split() for line in self.trace.read_text().splitlines()]

    def ends(self) -> list[str]:
        """Run ids of the children that stored a result."""
        file = Path(f"{self.trace}.ends")
        return file.read_text().split() if file.exists() else []

    def tries(self) -> Counter[str]:
        return Counter(start[0] for start in self.starts())

    def store(self) -> Store:
        return Store(self.runs)

    def statuses(self, group: str = "toy") -> Counter[str]:
        return Counter(record.status for record in self.store().records(group=group))

    def running(self, count: int, group: str = "toy") -> list[str]:
        """Wait until so many runs of `group` are at the gate; their ids."""
        return until(lambda: self._running(count, group))

    def _running(self, count: int, group: str) -> list[str]:
        if not self.runs.exists():
            return []
        store = self.store()
        found = [r.run_id for r in store.records(group=group, status="running")]
        return found if len(found) >= count and all(map(store.progress, found)) else []

    def alive(self) -> list[int]:
        """Children that are still there (a zombie counts)."""
        return [pid for pid in (int(start[1]) for start in self.starts()) if exists(pid)]

    def end(self) -> None:
        self.open_gate()  # a child that comes late goes through and ends
        for process in self.processes:
            if process.poll() is None:
                process.terminate()  # a controller takes its children along
                process.wait(PATIENCE_S)
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


T = TypeVar("T")


def until(look: Callable[[], T]) -> T:
    """What `look` gives as soon as it is true; fails after a while."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return found


@pytest.fixture
def world(tmp_path: Path, runs: Path, whole: Plan, grid: Plan) -> Iterator[World]:
    made = World(tmp_path, runs, [whole, grid])
    yield made
    made.end()
