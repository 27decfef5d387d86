r"""P12: how long a slot stays empty while work is left, and what the start of a trial costs.

    python benchmarks/sweep_idle.py [--pairs 20] [--trials 12] [--hydra PYTHON] [--write]

Two slots. The trials are those of toy_trial.py, equal on both sides, of very different lengths.
Against `prune sweep` stands Hydra's Optuna sweeper with its joblib launcher, which waits for a
whole batch. It does not go with Optuna 5: it has an environment of its own, whose Python `--hydra`
is.

    python -m venv ENV
    ENV/bin/pip install hydra-optuna-sweeper==1.3.0 hydra-joblib-launcher \
        hydra-core==1.3.8 'sqlalchemy<2' 'numpy<2'

Without it, the same barrier stands in: as many trials as there are slots, all waited for.

The start of a trial is a real `prune train` of two steps, forked from a warm server and in a fresh
interpreter: the time it takes beyond what its own record says.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import common

sys.path.insert(0, str(Path(__file__).parents[1]))

from prune.compose import load
from prune.config import as_dict, run_id
from prune.store import Store
from sweeps.executors import Job, local
from sweeps.plan import Plan, plan
from sweeps.space import read

ROOT = Path(__file__).parents[1]
TRIAL = [sys.executable, str(ROOT / "benchmarks" / "toy_trial.py")]
SLOTS = 2
SWEEP = ["teacher=none", "model.name_or_path=null", "target.density=0.5", f"slots={SLOTS}"]
DRIVE = f"""
import sys
from prune import cli
from sweeps.executors import local
local.PROGRAM = {TRIAL!r}
sys.exit(cli.main(["sweep", "toy", *sys.argv[1:]]))
"""
APP = """
import json, subprocess, sys
import hydra

@hydra.main(version_base=None, config_path=".", config_name="app")
def main(config):
    subprocess.run(json.load(open(config.commands))[config.trial], check=True)
    return 0.0

main()
"""
APP_CONFIG = """
defaults: [_self_, {{override hydra/sweeper: optuna}}, {{override hydra/sweeper/sampler: grid}},
           {{override hydra/launcher: joblib}}]
hydra:
  sweeper: {{n_trials: {trials}, n_jobs: {slots}, params: {{trial: "range(0,{trials})"}}}}
  launcher: {{n_jobs: {slots}}}
commands: {commands}
trial: 0
"""
TINY = ["+experiment=toy", "teacher=none", "model.name_or_path=null", "group=start"]
TINY += ["task.max_train_samples=64", "train.max_steps=2"]
EMPTY_MS, BUSY, START_MS = 1000, 0.95, 1500
READY_S, LOOK_S = 120.0, 0.005
BATCHES = "batches, each waited for"


@dataclass(frozen=True)
class Spans:
    """When the trials of a sweep began and ended, in seconds."""

    begins: list[float]
    ends: list[float]

    def empty_ms(self) -> list[float]:
        """How long each slot stood empty before it was filled again."""
        pairs = zip(self.begins[SLOTS:], self.ends, strict=False)
        return [1e3 * max(0.0, begin - end) for begin, end in pairs]

    def idle_ms(self) -> float:
        """Of each second of a slot while work was left: until the last trial began."""
        last = self.begins[-1]
        busy = sum(min(end, last) for end in self.ends) - sum(self.begins)
        return 1e3 - 1e3 * busy / (SLOTS * (last - self.begins[0]))

    def all_ms(self) -> float:
        return 1e3 * (self.ends[-1] - self.begins[0])


def spans_of(folder: Path, run: Callable[[Path, dict[str, str]], None], planned: Plan) -> Spans:
    """What `run` makes of these trials; it gets a folder and the environment of the trials."""
    (folder / "plan").mkdir(parents=True)
    (folder / "gate").touch()
    configs = {" ".join(t.overrides): as_dict(t.config) for t in planned.trials}
    (folder / "configs").write_text(json.dumps(configs))
    names = {"CHILD_CONFIGS": "configs", "CHILD_TRACE": "trace", "CHILD_PLAN": "plan"}
    names |= {"CHILD_GATE": "gate", "SPANS": "spans", "PRUNE_RUNS": "runs"}
    found = {key: str(folder / name) for key, name in names.items()}
    run(folder, {**os.environ, **found, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    times = [json.loads(line) for line in (folder / "spans").read_text().splitlines()]
    if len(times) != len(planned.trials):
        sys.exit(
            f"{len(times)} of {len(planned.trials)} trials came to their end in {run.__name__}"
        )
    return Spans(sorted(t[0] for t in times), sorted(t[1] for t in times))


def sides(planned: Plan, seeds: str, hydra: str) -> tuple[Callable[..., None], Callable[..., None]]:
    """`prune sweep` of these trials, and the batches."""
    commands = [[*TRIAL, *trial.overrides] for trial in planned.trials]

    def ours(folder: Path, env: dict[str, str]) -> None:
        call([sys.executable, "-c", DRIVE, *SWEEP, seeds], folder, env)

    def by_hydra(folder: Path, env: dict[str, str]) -> None:
        path = folder / "commands"
        path.write_text(json.dumps(commands))
        (folder / "app.py").write_text(APP)
        text = APP_CONFIG.format(trials=len(commands), slots=SLOTS, commands=path)
        (folder / "app.yaml").write_text(text)
        call([hydra, "app.py", "-m"], folder, env)

    def by_batches(folder: Path, env: dict[str, str]) -> None:
        for start in range(0, len(commands), SLOTS):
            batch = [subprocess.Popen(c, env=env) for c in commands[start : start + SLOTS]]
            for process in batch:
                process.wait()

    return ours, by_hydra if hydra else by_batches


def call(command: Sequence[str], folder: Path, env: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr[-2000:]}")


def sweeps(pairs: int, trials: int, hydra: str) -> list[common.Row]:
    found: tuple[list[Spans], list[Spans]] = ([], [])
    for number in range(pairs):
        first = 1 + number * trials  # other lengths in every round
        seeds = f"seed=range({first},{first + trials // 3})"  # there are three families
        planned = plan(read("toy", [*SWEEP, seeds]))
        calls = sides(planned, seeds, hydra)
        with tempfile.TemporaryDirectory() as folder:
            for side in (0, 1) if number % 2 else (1, 0):
                found[side].append(spans_of(Path(folder, str(side)), calls[side], planned))
    names = "`prune sweep`", "Hydra's Optuna sweeper 1.3.0, joblib" if hydra else BATCHES

    def row(what: str, figure: Callable[[Spans], float], goal: str, limit: float) -> common.Row:
        values = [[figure(spans) for spans in side] for side in found]
        return row_of((f"{what}, {names[0]}", names[1]), values, goal, limit)

    return [
        row("a slot is empty, on average", lambda s: statistics.mean(s.empty_ms()), "ms", EMPTY_MS),
        row("a slot is empty, at most", lambda s: max(s.empty_ms()), "ms", EMPTY_MS),
        row("idle of each second of a slot", Spans.idle_ms, "ms", 1e3 * (1 - BUSY)),
        row(f"{trials // 3 * 3} trials in {SLOTS} slots", Spans.all_ms, "ratio", 1.0),
    ]


def starts(pairs: int) -> common.Row:
    """A trial from its start to its end, less the seconds that it says it took."""
    found: tuple[list[float], list[float]] = ([], [])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["PRUNE_RUNS"] = str(root / "runs")
        store = Store()
        warm, cold = local.LocalExecutor(1, 1, warm=root / "server"), local.LocalExecutor(1, 1)
        ready(warm)
        for number in range(-1, pairs):  # the first fills the caches
            for side, executor in ((0, warm), (1, cold)):
                seconds = beyond(executor, store, [*TINY, f"seed={2 * number + side + 2}"], root)
                if number >= 0:
                    found[side].append(1e3 * seconds)
        warm.cancel()
    names = ("start of a trial, forked from the warm server", "a fresh interpreter")
    return row_of(names, found, "ms", START_MS)


def ready(executor: local.LocalExecutor) -> None:
    deadline = time.monotonic() + READY_S
    while executor.server and not executor.server.ready and time.monotonic() < deadline:
        executor.server.listen()
        time.sleep(LOOK_S)
    if not executor.server or executor.server.dead:
        sys.exit("the warm server did not start")


def beyond(executor: local.LocalExecutor, store: Store, words: list[str], root: Path) -> float:
    run, log = run_id(load(words)), root / "log"
    start = time.perf_counter()
    executor.submit(Job(run, tuple(words), log))
    while not executor.poll():
        time.sleep(LOOK_S)
    taken = time.perf_counter() - start
    record = store.get(run)
    if not record or record.status != "done":
        sys.exit(f"a trial failed: {log.read_text()[-2000:]}")
    return taken - record.seconds


def row_of(
    names: tuple[str, str], values: Sequence[Sequence[float]], goal: str, limit: float
) -> common.Row:
    ratios = [a / b for a, b in zip(*values, strict=True)]
    medians = [round(statistics.median(side), 1) for side in values]
    figures = [round(x, 4) for x in (statistics.median(ratios), *common.median_interval(ratios))]
    row = common.Row(*names, len(ratios), *medians, *figures, goal, limit)
    verdict = "met" if row.met else "NOT met"
    print(f"{names[0]}: {medians[0]} ms against {medians[1]} ms, ratio {figures[0]}, {verdict}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=common.MIN_PAIRS)
    parser.add_argument("--trials", type=int, default=12, help="of a sweep; a multiple of three")
    parser.add_argument("--hydra", default="", help="the Python that has Hydra's Optuna sweeper")
    parser.add_argument("--write", action="store_true", help="keep the result")
    asked = parser.parse_args()
    os.environ.pop("PRUNE_DB", None)
    hydra = str(Path(asked.hydra).absolute()) if asked.hydra else ""
    rows = [starts(asked.pairs), *sweeps(asked.pairs, asked.trials, hydra)]
    if asked.write:
        print(f"wrote {common.write('sweep_idle', rows, 1, 'Sweeps that do not idle').name}")


if __name__ == "__main__":
    main()
