"""What a sweep's own bookkeeping costs with 5,000 finished trials: an ask and a tell, a resume.

    python benchmarks/study_scale.py [--trials 5000] [--few 100] [--no-resume] [--write]

Each case is a study in the index of a store with a run folder for every trial, interleaved with one
of `--few` trials. Asked and told is through the study that `prune sweep` uses, the composed and
checked configuration included. A resume is what `prune sweep` does until its first trial is known:
plan, read what is finished, ask. The samplers are those that `prune sweep` takes: `tpe` for several
objectives makes way for NSGA-II where it would be too slow. A grid composes all its points first.
"""

import argparse
import dataclasses
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

sys.path.insert(0, str(Path(__file__).parents[1]))

from prune.records import Record, to_json
from prune.store import Store
from sweeps.plan import Plan, Trial, plan
from sweeps.search import measured
from sweeps.space import changed, parse
from sweeps.study import Study, open_study
from tests.sweeps.child import record_of

ALONE = {"experiment": "toy", "base": ["teacher=none", "model.name_or_path=null"]}
AXES = {
    "attention.block": "choice(16x16, 32x32, 64x64)",
    "target.density": "tag(log, interval(0.05, 0.6))",
    "train.lr": "tag(log, interval(2e-5, 1e-4))",
    "train.scores_lr": "tag(log, interval(3e-3, 3e-2))",
}
TWO = {"objectives": ["quality", "speedup"], "constraints": ["density <= 0.9"]}
CASES: dict[str, dict[str, Any]] = {
    "tpe, one objective": {"sampler": "tpe", "objectives": ["quality"]},
    "tpe, two objectives": {"sampler": "tpe", **TWO},
    "nsga2, two objectives": {"sampler": "nsga2", **TWO},
    "grid": {},
}
ASK_MS, RESUME_MS = 200, 10_000
GENERATION = "NSGAIISampler:generation"  # where Optuna keeps it
SPARE = 200  # trials that are left to be asked for


class World:
    """A store, and a study in it with `count` finished trials."""

    def __init__(self, root: Path, how: dict[str, Any], count: int) -> None:
        self.store, self.how, self.count = Store(root), how, count
        self.study = self.resume()
        self.fill()
        self.study.close()
        self.study = self.resume()

    def planned(self) -> Plan:
        if self.how:
            content = {**ALONE, "space": AXES, "trials": self.count + SPARE, **self.how}
        else:
            content = {**ALONE, "space": {"seed": f"range(1, {self.count + SPARE + 1})"}}
        return plan(changed(parse("scale", content), []))

    def resume(self) -> Study:
        return open_study(self.store.url, self.planned(), self.find)

    def find(self, run_id: str) -> Record | None:
        record = self.store.get(run_id)
        return record if record and record.status == "done" else None

    def fill(self) -> None:
        """What so many trials leave behind, without asking for each."""
        rng = random.Random(0)
        if not self.how:
            for _ in range(self.count):
                self.finish(self.study, self.asked(self.study))
            return
        first = record_of(self.asked(self.study).config)
        for number in range(self.count):
            record = dataclasses.replace(first, run_id=f"{number:08x}")
            self.save(record)
            self.study.study.add_trial(self.told(record, number, rng))

    def told(self, record: Record, number: int, rng: random.Random) -> FrozenTrial:
        values = {name: drawn(axis, rng) for name, axis in self.study.distributions.items()}
        found = measured(record)
        # no two trials measure the same
        objectives = [found[name] * rng.uniform(0.5, 1) for name in self.study.search.objectives]
        return create_trial(
            state=TrialState.COMPLETE,
            params=values,
            distributions=self.study.distributions,
            values=objectives,
            user_attrs={"run_id": record.run_id, "command": "prune train " + 150 * "x"},
            system_attrs={GENERATION: number // 50} if self.how["sampler"] == "nsga2" else {},
            constraints={str(c): -1.0 for c in self.study.search.constraints},
        )

    def asked(self, study: Study) -> Trial:
        trial = study.ask()
        assert trial, "the sweep has no trial left"
        return trial

    def finish(self, study: Study, trial: Trial) -> None:
        record = record_of(trial.config)
        self.save(record)
        study.tell(trial, record)

    def save(self, record: Record) -> None:
        folder = self.store.root / "scale" / record.run_id
        folder.mkdir(parents=True)
        content = dataclasses.replace(record, group="scale")
        (folder / "result.json").write_text(json.dumps(to_json(content)))

    def ask_and_tell(self) -> None:
        self.finish(self.study, self.asked(self.study))

    def resume_and_ask(self) -> None:
        study = self.resume()
        self.finish(study, self.asked(study))
        study.close()


def drawn(axis: Any, rng: random.Random) -> Any:
    if isinstance(axis, CategoricalDistribution):
        return rng.choice(axis.choices)
    return rng.uniform(axis.low, axis.high)


def rows_of(name: str, trials: int, few: int, pairs: int, resume: bool) -> list[common.Row]:
    with tempfile.TemporaryDirectory() as folder:
        large = World(Path(folder, "large"), CASES[name], trials)
        small = World(Path(folder, "small"), CASES[name], few)

        def compare(what: str, call: Callable[[World], None], limit: float) -> common.Row:
            names = (f"{what}, {name}, {trials:,} trials", f"{few:,} trials")
            calls = (lambda: call(large), lambda: call(small))
            return common.compare(names, calls, "ms", limit, pairs)

        found = [compare("ask and tell", World.ask_and_tell, ASK_MS)]
        large.study.close(), small.study.close()
        if resume and name != "grid":  # that takes as long as composing all its points does
            found.append(compare("resume", World.resume_and_ask, RESUME_MS))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5_000)
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=common.MIN_PAIRS)
    parser.add_argument("--cases", nargs="+", default=[*CASES], choices=[*CASES])
    parser.add_argument("--no-resume", action="store_true", help="asks alone: a resume is slow")
    parser.add_argument("--write", action="store_true", help="keep the result")
    asked = parser.parse_args()
    for name in asked.cases:
        rows = rows_of(name, asked.trials, asked.few, asked.pairs, not asked.no_resume)
        if asked.write:
            common.write("study_scale", rows, 1, "Sweeps with many trials", merge=True)


if __name__ == "__main__":
    main()
