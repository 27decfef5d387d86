"""`prune sweep`: many runs of one sweep file, in slots, resumed by the same command."""

import argparse
import json
import os
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

from prune.compose import runs_dir
from prune.errors import SweepFailed, UsageError
from prune.records import Record
from sweeps import space
from sweeps.plan import Plan, Trial, estimate, plan
from sweeps.progress import duration, view

HELP = """\
Run every point of a grid, or what a sampler asks for, as `prune train` in its own process, several
at once. The same command resumes: what is finished is never trained again, what still runs is
waited for.

NAME is a file of conf/sweep:
{sweeps}

OVERRIDES are Hydra's. key=a,b or key=range(1,4) is an axis, key=value holds for every point; both
win over the file's. Besides: slots=N runs at once, threads=N for each (without: the cores are
shared out), max_retries=N for a run that failed (1), timeout_s=N for one attempt, memory_mb=N of a
GPU for each run (without: as the first run of its kind needs), warm=0 to start every run in a fresh
interpreter, group=NAME for the folder below runs/.
sampler=tpe (nsga2, random, qmc) with trials=N searches instead of taking all points; an axis may
then be interval(low,high), int(interval(1,8)) or tag(log,interval(1e-5,1e-3)). It looks for
objectives=[quality,speedup] under constraints=["drop <= 2"]; to choose from: quality, speedup,
density, latency_ms, size_mb, drop. early_stop=on (off, or a margin as 0.2) ends what others beat
clearly on the way. launcher=slurm (slurm.partition=NAME, ...) submits every run as a Slurm job,
launcher=ray (ray.address=HOST:PORT, ray.num_gpus=0.25, ...) to a Ray cluster.

Ctrl-C: nothing new is started, what runs may finish; again: what runs is ended.
"""
EXAMPLE = "Example: prune sweep block_shapes experiment=toy slots=2 --dry-run"


def main(argv: Sequence[str]) -> int:
    """Run `prune sweep` with these arguments; 0, or an error of prune.errors."""
    asked = _parser().parse_intermixed_args(list(argv))
    if asked.name is None:
        raise UsageError(f"which sweep? (choices: {', '.join(space.names())})")
    planned = plan(space.read(asked.name, asked.overrides))
    if asked.status:
        return _status(planned, asked.json)
    finished = _finished()
    if asked.dry_run:
        done = {record.run_id for record in finished}
        listing = _json(_as_dict(planned, done)) if asked.json else _listing(planned, done)
        print(listing if asked.json else f"{_header(planned, finished)}\n{listing}")
        return 0
    return _run(planned, _header(planned, finished), asked)


def _run(planned: Plan, header: str, asked: argparse.Namespace) -> int:
    # Late: a dry run answers before Optuna is there.
    from prune.store import Store
    from sweeps.attempts import Attempts
    from sweeps.controller import Controller
    from sweeps.launcher import executor

    settings, store = planned.space.settings, Store()
    attempts = Attempts(
        settings.get("max_retries", 1), settings.get("timeout_s"), settings.get("memory_mb")
    )
    warm = settings.get("warm", 1) and planned.total > planned.slots
    started = executor(
        planned.space.launcher,
        planned.slots,
        settings.get("threads"),
        store.root / planned.group / "logs",
        bool(warm),
    )
    shown = view(asked.quiet or bool(os.environ.get("PRUNE_QUIET")))
    controller = Controller(planned, store, started, shown, attempts)
    shown.event(header)
    try:
        outcome = controller.run()
    except SweepFailed:
        if asked.json:
            print(_json(controller.outcome.as_dict()))
        raise
    print(_json(outcome.as_dict()) if asked.json else f"{planned.space.name}: {outcome.line()}")
    if not asked.json:
        print("next: prune report --pareto")
    return 0


def _status(planned: Plan, as_json: bool) -> int:
    from prune.store import Store
    from sweeps.status import status

    if not runs_dir().is_dir():
        raise UsageError(f"{planned.space.name} was never run: there is no folder {runs_dir()}")
    found = status(planned, Store())
    print(_json(found.as_dict()) if as_json else "\n".join(found.lines()))
    return 0


def _finished() -> list[Record]:
    from prune.store import Store

    # A look must not make the folder.
    return Store().records(status="done") if runs_dir().is_dir() else []


def _header(planned: Plan, finished: Sequence[Record]) -> str:
    """block_shapes · 21 trials (7 blocks x 3 densities) on 2 slots · about 1 h 50 min by ..."""
    done = {record.run_id for record in finished}
    left = [t for t in [*planned.first, *planned.trials] if t.run_id not in done]
    words = [planned.space.name, f"{planned.size()} on {_many(planned.slots, 'slot')}"]
    count = sum(trial.run_id in done for trial in planned.trials)
    if count:
        words.append(f"{count} done")
    times = (planned.total - count) / max(1, len(planned.trials) - count)  # a search: it shows few
    seconds, known = estimate(left, finished, planned.slots, times)
    if not left:
        words.append("nothing left to run")
    elif seconds is None:
        words.append("no earlier run of this kind to tell how long it takes")
    else:
        words.append(f"about {duration(seconds)} by {_many(known, 'earlier run')} of this kind")
    return " · ".join(words)


def _listing(planned: Plan, done: Collection[str]) -> str:
    """A line a run: its id, whether it is done, its command."""
    rows = [(trial, "first") for trial in planned.first] + [(t, "") for t in planned.trials]
    lines = [
        f"  {trial.run_id}  {'done' if trial.run_id in done else word:<5}  {trial.command}"
        for trial, word in rows
    ]
    if (more := planned.total - len(planned.trials)) > 0:
        lines.append(f"  ... and {more} more, by what these give")
    return "\n".join(lines)


def _as_dict(planned: Plan, done: Collection[str]) -> dict[str, Any]:
    def rows(trials: Sequence[Trial]) -> list[dict[str, Any]]:
        return [
            {"run_id": t.run_id, "label": t.label, "command": t.command, "done": t.run_id in done}
            for t in trials
        ]

    return {
        "sweep": planned.space.name,
        "group": planned.group,
        "slots": planned.slots,
        "total": planned.total,
        "first": rows(planned.first),
        "trials": rows(planned.trials),
    }


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nsee: prune sweep --help")


def _parser() -> argparse.ArgumentParser:
    sweeps = "\n".join(f"  {n:<14}{space.description(n)}" for n in space.names())
    parser = _Parser(
        prog="prune sweep",
        description=HELP.format(sweeps=sweeps),
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the sweep")
    parser.add_argument("overrides", metavar="OVERRIDES", nargs="*", help="as for prune train")
    parser.add_argument("--dry-run", action="store_true", help="print the runs, start none")
    parser.add_argument("--status", action="store_true", help="what it is doing now; starts none")
    parser.add_argument(
        "--json", action="store_true", help="print the plan, the status or the outcome as JSON"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but the outcome")
    return parser


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, allow_nan=False)
