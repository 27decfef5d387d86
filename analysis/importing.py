"""`prune import nn_pruning FILE`: published results in the same store as our own."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from prune.errors import MissingInputError, UsageError, unknown
from prune.records import Record

FORMATS = ("nn_pruning",)
NAMED = 5  # checkpoints that are skipped by name; of the others the number
HELP = """Bring published results into the store, a run folder for each checkpoint.

nn_pruning   a result file of huggingface/nn_pruning, plain JSON or gzipped

They are told from your own runs by their group and their runtime, which is the machine they were
timed on: `prune report group=nn_pruning`. Importing a file again changes nothing. Nothing that
such a file names is opened. What the published tables say otherwise is printed."""
EXAMPLE = "Example: prune import nn_pruning results_squadv1.json.gz"


def main(argv: Sequence[str]) -> int:
    """Run `prune import` with these arguments; 0, or an error of prune.errors."""
    options = parser().parse_args(list(argv))
    if options.format not in FORMATS:
        raise UsageError(unknown("format", options.format, FORMATS))
    from analysis.published import read_file, records
    from analysis.published_tables import disagreements
    from prune.store import Store

    found: list[Record] = []
    skipped: list[str] = []
    for item in records(read_file(options.file), options.file.name):
        found.append(item) if isinstance(item, Record) else skipped.append(item)
    if not found:
        raise MissingInputError(f"nothing in {options.file} can be imported; {skipped[0]}")
    states = Counter(Store().adopt(found))
    wrong = disagreements(found)
    if options.json:
        content = {**states, "skipped": skipped, "disagreements": wrong}
        print(json.dumps(content, allow_nan=False))
        return 0
    print("\n".join(_text(options.file, found, states, skipped, wrong)))
    return 0


def _text(
    file: Path, found: list[Record], states: Counter[str], skipped: list[str], wrong: list[str]
) -> list[str]:
    tasks = ", ".join(sorted({record.task for record in found}))
    counts = f"{states['new']} new, {states['changed']} changed, {states['same']} known already"
    lines = [f"{file.name} · {tasks} · {len(found)} checkpoints: {counts}"]
    lines += skipped[:NAMED]
    if len(skipped) > NAMED:
        lines.append(f"skipped {len(skipped) - NAMED} more: --json names them all")
    if wrong:
        lines += ["the published tables say otherwise than these raw results:"]
        lines += [f"  {line}" for line in wrong]
    return [*lines, f"next: prune report --pareto group={found[0].group}"]


def parser() -> argparse.ArgumentParser:
    result = _Parser(
        prog="prune import",
        description=HELP,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument("format", metavar="FORMAT", help=", ".join(FORMATS))
    result.add_argument("file", type=Path, metavar="FILE", help="the result file")
    result.add_argument("--json", action="store_true", help="print JSON")
    return result


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nsee: prune import --help")
