"""P13: `kill -9` of trials, of the controller and of both, at random moments of a sweep.

    python benchmarks/kills.py [--kills 100] [--seed 0] [--out FILE]

The trials are those of the tests: they hold, log and finish a run folder as `prune train` does, and
compute nothing. Then the same command is run to its end, and nothing may be lost, nothing may have
run to its end twice, and study, index and folders must say the same.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from prune.config import as_dict
from prune.store import Store
from sweeps.plan import Plan, plan
from sweeps.space import read

ROOT = Path(__file__).parents[1]
DRIVE = ROOT / "tests" / "sweeps" / "drive.py"
SWEEP = ("toy", "teacher=none", "model.name_or_path=null", "target.density=0.5", "slots=3")
RETRIES = "max_retries=1000"  # here it is not the trial's fault
WORK_S = 1.0
START_S = 60.0
# Of a hundred kills, so many are of a trial, of the controller, and of everything at once.
SHARES = {"trial": 60, "controller": 25, "both": 15}


class World:
    def __init__(self, folder: Path, planned: Plan, words: list[str]) -> None:
        self.folder, self.words = folder, words
        self.trace, self.gate = folder / "trace", folder / "gate"
        self.trace.touch(), self.gate.touch(), (folder / "plan").mkdir()
        configs = {" ".join(t.overrides): as_dict(t.config) for t in planned.trials}
        (folder / "configs").write_text(json.dumps(configs))
        self.environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "PRUNE_RUNS": str(folder / "runs"),
            "CHILD_CONFIGS": str(folder / "configs"),
            "CHILD_TRACE": str(self.trace),
            "CHILD_PLAN": str(folder / "plan"),
            "CHILD_GATE": str(self.gate),
            "CHILD_WORK_S": str(WORK_S),
        }
        self.environment.pop("PRUNE_DB", None)

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, str(DRIVE), *self.words],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=self.environment,
                cwd=self.folder,
            )

    def begun(self, controller: subprocess.Popen[bytes]) -> None:
        """Wait until the controller does what can be disturbed."""
        before, deadline = self.trace.stat().st_size, time.monotonic() + START_S
        while controller.poll() is None and time.monotonic() < deadline:
            if self.trace.stat().st_size > before:
                return
            time.sleep(0.05)

    def children(self) -> list[int]:
        """Trials that run now, whoever started them."""
        pids = [int(line.split()[1]) for line in self.trace.read_text().splitlines()[-20:]]
        return [pid for pid in pids if (Path("/proc") / str(pid) / "environ").exists()]


def harass(world: World, kills: int, rng: random.Random) -> Counter[str]:
    """Kill and start again, until there were so many kills."""
    done: Counter[str] = Counter()
    controller = world.start()
    world.begun(controller)
    while done.total() < kills:
        time.sleep(rng.uniform(0.0, 1.5))
        what = rng.choices([*SHARES], [*SHARES.values()])[0]
        targets = [controller.pid] if what != "trial" and controller.poll() is None else []
        targets += rng.sample(running := world.children(), min(1, len(running))) * (
            what != "controller"
        )
        for pid in targets:
            try:
                os.kill(pid, signal.SIGKILL)
                done["controller" if pid == controller.pid else "trial"] += 1
            except ProcessLookupError:
                pass  # it ended just now
        time.sleep(0.05)
        if controller.poll() is not None:
            if controller.returncode != -signal.SIGKILL:
                break  # it is through: there were too few trials
            controller = world.start()
            world.begun(controller)
    controller.wait()
    return done


def verdict(world: World, planned: Plan) -> dict[str, Any]:
    wanted = {trial.run_id for trial in planned.trials}
    ends = Counter(Path(f"{world.trace}.ends").read_text().split())
    starts = Counter(line.split()[0] for line in world.trace.read_text().splitlines())
    store = Store(world.folder / "runs")
    with sqlite3.connect(world.folder / "runs" / "index.db") as connection:
        rows = connection.execute("SELECT run, status FROM runs ORDER BY run").fetchall()
        told = Counter(row[0] for row in connection.execute("SELECT state FROM trials"))
    store.rebuild()
    folders = [(f"{r.group}/{r.run_id}", r.status) for r in store.records()]
    return {
        "trials": len(wanted),
        "starts": starts.total(),
        "lost": len(wanted - {run.split("/")[1] for run, status in folders if status == "done"}),
        "to their end twice": sum(count > 1 for count in ends.values()),
        "index equals folders": sorted(rows) == sorted(folders),
        "study equals folders": dict(told) == {"COMPLETE": len(wanted)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    words = [*SWEEP, RETRIES, f"seed=range(1,{2 + asked.kills // 2})"]
    planned = plan(read(words[0], words[1:]))
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), planned, words)
        killed = harass(world, asked.kills, random.Random(asked.seed))
        last = world.start()
        code = last.wait()
        found = {"killed": dict(killed), "exit code": code, **verdict(world, planned)}
        if code:
            print((world.folder / "said").read_text()[-2000:], file=sys.stderr)
    text = json.dumps(found, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
