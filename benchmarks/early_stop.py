"""Early stop, replayed on recorded curves: the steps it saves, the points of the front it costs.

    python benchmarks/early_stop.py                        # the curves recorded beside this file
    python benchmarks/early_stop.py --runs runs            # those of finished runs, a sweep a group
    python benchmarks/early_stop.py --runs a b --record    # ... and keeps them as the recorded ones

The trials of a sweep are replayed in random orders in `--slots` slots, all equally fast; the judge
is that of `prune sweep`. A point of the front is lost if its trial was stopped.
"""

import argparse
import datetime
import json
import random
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common import RECORDED

from prune.store import Store
from prune.store.reading import metric_lines
from sweeps.early_stop import COMPARABLE, RUNGS, EarlyStop, Race
from sweeps.search import MEASURES, measured

CURVES, RESULT = RECORDED / "early_stop_curves.json", RECORDED / "early_stop.json"
GOALS = (("quality",), ("quality", "speedup"), ("quality", "speedup", "density"))
MARGINS = (0.05, 0.1, 0.2, 0.3)
AFTER = (0.25, 0.5)
KEPT = ("step", "steps", "loss", "density")
FEW = 4  # runs of a group that are no sweep


@dataclass(frozen=True)
class Run:
    run_id: str
    config: dict[str, Any]  # what decides who is compared with whom
    final: dict[str, float]  # what was measured at the end
    lines: list[dict[str, float]] = field(repr=False)

    @property
    def steps(self) -> float:
        return self.lines[0]["steps"]


@dataclass(frozen=True)
class Replayed:
    saved: float  # share of the training steps
    stopped: int
    lost: int  # points of the front


def recorded(root: Path) -> dict[str, list[Run]]:
    """The finished runs of a store with a curve and measurements, by group."""
    found: dict[str, list[Run]] = {}
    for record in Store(root).records(status="done"):
        every = (values for _, values in metric_lines(Path(record.path)))
        lines = [{key: line[key] for key in KEPT if key in line} for line in every]
        if lines and "density" in lines[-1] and (final := measured(record)):
            config = {key: record.config.get(key) for key in (*COMPARABLE, "attention", "ffn")}
            found.setdefault(record.group, []).append(Run(record.run_id, config, final, lines))
    return {group: runs for group, runs in found.items() if len(runs) >= FEW}


def front(runs: Sequence[Run], measures: Sequence[str]) -> set[str]:
    """Run ids of those that no other one beats."""
    signs = [1 if MEASURES[name] else -1 for name in measures]
    points = {
        r.run_id: [s * r.final[n] for s, n in zip(signs, measures, strict=True)] for r in runs
    }

    def beats(a: list[float], b: list[float]) -> bool:
        return a != b and all(x >= y for x, y in zip(a, b, strict=True))

    return {i for i, p in points.items() if not any(beats(q, p) for q in points.values())}


def replay(
    runs: Sequence[Run], how: EarlyStop, measures: Sequence[str], slots: int, seed: int
) -> Replayed:
    """One sweep over these runs, a rung of every running trial at a time."""
    waiting = deque(random.Random(seed).sample(runs, len(runs)))
    running: dict[str, tuple[Run, int]] = {}
    race, stopped, trained = Race(how, measures), set(), 0.0
    while waiting or running:
        while waiting and len(running) < slots:
            run = waiting.popleft()
            running[run.run_id] = run, 0
        for run_id, (run, before) in list(running.items()):
            rung = before + 1
            running[run_id] = run, rung
            reached = [line for line in run.lines if line["step"] * RUNGS <= rung * run.steps]
            # What is logged behind the rung says that it is over.
            end = {"step": rung * run.steps / RUNGS, "steps": run.steps, **_last(reached)}
            race.see(run_id, run.config, [*reached, end] if reached else [])
            beaten = rung < RUNGS and race.beaten(run_id)
            if beaten:
                stopped.add(run_id)
            if beaten or rung == RUNGS:
                trained += run.steps * rung / RUNGS
                del running[run_id]
    lost = len(front(runs, measures) & stopped)
    return Replayed(1 - trained / sum(run.steps for run in runs), len(stopped), lost)


def _last(lines: list[dict[str, float]]) -> dict[str, float]:
    return {key: lines[-1][key] for key in ("loss", "density")} if lines else {}


def table(sweeps: dict[str, list[Run]], slots: int, orders: int) -> list[dict[str, Any]]:
    """A row for every sweep, goal and margin: means over the orders, and the worst of them."""
    rows = []
    for name, runs in sweeps.items():
        for goal in GOALS:
            for how in (EarlyStop(margin, after) for after in AFTER for margin in MARGINS):
                found = [replay(runs, how, goal, slots, seed) for seed in range(orders)]
                row = {
                    "sweep": name,
                    "trials": len(runs),
                    "goal": " and ".join(goal),
                    "front": len(front(runs, goal)),
                    **asdict(how),
                    "saved": round(statistics.mean(r.saved for r in found), 3),
                    "stopped": round(statistics.mean(r.stopped for r in found), 1),
                    "lost": round(statistics.mean(r.lost for r in found), 2),
                    "lost_at_most": max(r.lost for r in found),
                }
                print(
                    f"{name:16} {row['goal']:30} margin {how.margin:4.2f} after {how.after:4.2f}   "
                    f"saved {row['saved']:6.1%}   "
                    f"stopped {row['stopped']:4.1f} of {len(runs)}   "
                    f"front points lost {row['lost']:.2f} of {row['front']} "
                    f"(at most {row['lost_at_most']})"
                )
                rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--record", action="store_true", help="keep their curves")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--orders", type=int, default=20)
    asked = parser.parse_args()
    if asked.runs:
        several = len(asked.runs) > 1
        sweeps = {
            f"{group} {number}" if several else group: runs
            for number, root in enumerate(asked.runs)
            for group, runs in recorded(root).items()
        }
        if asked.record:
            content = {name: [asdict(run) for run in runs] for name, runs in sweeps.items()}
            RECORDED.mkdir(exist_ok=True)
            CURVES.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    else:
        content = json.loads(CURVES.read_text())
        sweeps = {name: [Run(**run) for run in runs] for name, runs in content.items()}
    if not sweeps:
        raise SystemExit(f"no group of at least {FEW} finished runs with curves in {asked.runs}")
    rows = table(sweeps, asked.slots, asked.orders)
    if asked.record or not asked.runs:
        about = f"curves replayed in {asked.slots} slots, {asked.orders} orders"
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        content = {"benchmark": "early_stop", "about": about, "date": date, "replays": rows}
        RESULT.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
