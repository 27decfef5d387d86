"""`prune runs`: list, show and remove runs."""

import argparse
from typing import TYPE_CHECKING, Any

from prune import compose
from prune.commands import add_json, open_store, print_json, say, subcommands, table
from prune.commands.show import progress_text, quality_text, summary
from prune.errors import StoreError, UsageError, unknown
from prune.records import Record, to_json

if TYPE_CHECKING:
    from prune.store import Store

STATUSES = ("done", "failed", "running", "interrupted", "broken")
REMOVABLE = ("failed", "interrupted", "broken")  # all at once; a finished run is removed by name
HEADER = ["run", "status", "group", "experiment", "task"]
HEADER += ["quality", "density", "MB", "speedup", "started", "note"]
NUMBERS = (5, 6, 7, 8)
NOTE_LENGTH = 60
LAST = "last"


def main(argv: list[str]) -> int:
    asked = _parser().parse_args(argv)
    ACTIONS[asked.command](asked)
    return 0


def _parser() -> argparse.ArgumentParser:
    about = "The runs and how they ended."
    parser, commands = subcommands("prune runs", about, "prune runs ls", list(ACTIONS))

    def add(name: str, text: str, example: str) -> Any:
        return commands.add_parser(
            name, prog=f"prune runs {name}", help=text, description=text, example=example
        )

    ls = add("ls", "list runs, oldest first", "prune runs ls --status done")
    ls.add_argument("--group", help="folder below the runs folder: `single`, or a sweep's name")
    ls.add_argument("--task", help="squad, toy, ...")
    ls.add_argument("--status", help="one of: " + ", ".join(STATUSES))
    one = add("show", "show one run", f"prune runs show {LAST}")
    one.add_argument("run", help=f"the first digits of its id, or `{LAST}`")
    rm = add("rm", "remove runs and their models", "prune runs rm --status interrupted")
    rm.add_argument("run", nargs="*", help="the first digits of its id")
    rm.add_argument("--status", help="all that ended so: " + ", ".join(REMOVABLE))
    for command in (ls, one):
        add_json(command)
    return parser


def list_runs(asked: argparse.Namespace) -> None:
    _check_status(asked.status, STATUSES)
    root = compose.runs_dir()
    store = open_store() if root.is_dir() else None  # a look must not make the folder
    found = store.records(asked.group, asked.task, asked.status) if store else []
    if asked.json:
        print_json([_json(record) for record in found])
    elif store and found:
        print(table([HEADER, *(_row(store, record) for record in found)], NUMBERS))
    else:
        say(f"no such runs in {root} (make one: prune train +experiment=toy)")


def show(asked: argparse.Namespace) -> None:
    store = open_store()
    if asked.run == LAST:
        found = store.records()
        if not found:
            raise StoreError(f"no runs in {store.root} yet: prune train +experiment=toy")
        record = store.find(f"{found[-1].group}/{found[-1].run_id}")
    else:
        record = store.find(asked.run)
    if asked.json:
        print_json(_json(record))
    else:
        print(summary(record, store.progress(f"{record.group}/{record.run_id}")))


def remove(asked: argparse.Namespace) -> None:
    _check_status(asked.status, REMOVABLE)
    if bool(asked.run) == bool(asked.status):
        raise UsageError("name the runs to remove, or their --status\nsee: prune runs rm --help")
    store = open_store()
    if asked.status:
        names = [f"{r.group}/{r.run_id}" for r in store.records(status=asked.status)]
    else:
        names = [store.name(prefix) for prefix in asked.run]  # all are known before one goes
    for name in names:
        store.remove(name)
        say(f"removed {store.root / name}")


def _check_status(status: str | None, choices: tuple[str, ...]) -> None:
    if status is not None and status not in choices:
        raise UsageError(unknown("status", status, choices))


def _json(record: Record) -> dict[str, Any]:
    return {**to_json(record), "path": record.path}


def _row(store: "Store", record: Record) -> list[str]:
    note = " ".join(record.error.split())
    if record.status in ("running", "interrupted"):
        note = progress_text(store.progress(f"{record.group}/{record.run_id}"))
    if len(note) > NOTE_LENGTH:
        note = note[: NOTE_LENGTH - 1] + "…"
    started = record.started[:16].replace("T", " ")
    asked = [record.run_id, record.status, record.group, record.experiment, record.task]
    return [*asked, *_numbers(record), started, note]


def _numbers(record: Record) -> list[str]:
    """Quality, density, size and speedup of the last point."""
    if not record.points:
        return ["", "", "", ""]
    point = record.points[-1]
    quality = quality_text(point.quality, record.metric)
    speedup = f"{point.latency[0].speedup:.2f}x"
    return [quality, f"{point.density.nonzero:.3f}", f"{point.size_mb:.1f}", speedup]


ACTIONS = {"ls": list_runs, "show": show, "rm": remove}
