"""`prune recommend`: which checkpoint to ship, with a margin for noise, and how to load it."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from analysis.family import BLOCK_SPARSE
from prune.errors import UsageError
from prune.records import readable

if TYPE_CHECKING:
    from analysis.deploy import Shipped
    from analysis.metrics import Metric

HELP = """Choose the checkpoint to ship, from what the runs measured. Loads no model.

Without --latency-ms the fastest one within --max-drop; with it the best one that is fast enough,
and of those that tie the fastest. A drop counts with the noise that seeds alone make, a latency
with the end of its interval. Runs were timed at different moments, so a time here is a speedup on
the median time of the dense network. Filters are those of `prune report`: batch=1 group=shapes.

--export writes it for another runtime, measures that very file there, and holds it, too, to what
was asked; exit code 1 if it misses."""
EXAMPLE = "Example: prune recommend --max-drop 1.0 --task squad batch=1"
EXPORTS = ("onnx", "int8", "openvino")
MISSED = 1  # exit code


def main(argv: Sequence[str]) -> int:
    """Run `prune recommend` with these arguments; 0 or MISSED, or an error of prune.errors."""
    options = parser().parse_intermixed_args(list(argv))
    from analysis.choosing import candidates, missed, next_candidate, recommend
    from analysis.deploy import snippet
    from analysis.filters import parse
    from analysis.loading import load
    from analysis.metrics import quality_metric

    asked = [*options.filters, *([f"task={options.task}"] if options.task else [])]
    if options.export:  # an exported model is dense
        asked.append(f"runtime!={BLOCK_SPARSE}")
    table = load([parse(text) for text in asked]).table
    if table["task"].nunique() > 1:
        raise UsageError(f"several tasks ({', '.join(sorted(set(table['task'])))}): choose --task")
    y = quality_metric(str(table["metric"].iloc[0]))
    rows = candidates(table, y)
    limits = (options.max_drop, options.latency_ms)
    found = recommend(rows, y, *limits, exported=bool(options.export))
    file = ship(found, options.export, y) if options.export else None
    wrong = missed(file, y, *limits) if file else []
    after = next_candidate(rows, y, found, file, *limits) if wrong else None
    code = snippet(Path(found["model"]), file, found["runtime"] == BLOCK_SPARSE)
    if options.json:
        more = {"exported": asdict(file) if file else None, "missed": wrong, "instead": after}
        print(json.dumps({**found, **more, "snippet": code}, allow_nan=False))
    else:
        told = [*lines(found, y), *(shipped_lines(file, y) if file else [])]
        print("\n".join([*told, *missed_lines(wrong, after, y), "to use it:", *code]))
    return MISSED if wrong else 0


def ship(found: dict[str, Any], form: str, y: "Metric") -> "Shipped":
    from analysis.deploy import export, shipped

    cell = (found["batch"], found["length"])
    return shipped(export(found["run_id"], form), form, cell, found["dense_quality"], y.higher)


def lines(found: dict[str, Any], y: "Metric") -> list[str]:
    """For a terminal; the last lines can be pasted into Python."""
    where = f"batch {found['batch']} x {found['length']}, {found['runtime']}"
    text = [
        f"{found['run_id']} {found['family']}: {y.label} {y.show(found['quality'])} "
        f"({-found['drop']:+.1f} +-{found['noise']:g}), {found['pruned_ms']:.1f} ms at {where} "
        f"({found['speedup']:.2f}x), {found['size_mb']:.1f} MB"
    ]
    if after := found["next"]:
        text.append(
            f"  the next faster one ({after['run_id']}) costs {after['costs']:.1f} {y.label} "
            f"for {after['saves_ms']:.1f} ms"
        )
    else:
        text.append("  none is faster")
    return text


def shipped_lines(file: "Shipped", y: "Metric") -> list[str]:
    return [
        f"exported to {file.folder}/  ({file.file}, README.md); measured from that file: {y.label} "
        f"{y.show(file.quality)} ({-file.drop:+.1f}), {readable(file.ms)} ms in {file.runtime}, "
        f"{file.size_mb:.1f} MB, logits within {file.difference:.0e}"
    ]


def missed_lines(wrong: list[str], after: dict[str, Any] | None, y: "Metric") -> list[str]:
    if not wrong:
        return []
    text = "no other checkpoint is nearer to it"
    if after:
        text = (
            f"next: {after['run_id']} {after['family']}, {y.label} {y.show(after['quality'])} "
            f"({-after['drop']:+.1f}) and {after['pruned_ms']:.1f} ms before it is exported"
        )
    return [f"the exported file misses what was asked: {' and '.join(wrong)}", f"  {text}"]


def parser() -> argparse.ArgumentParser:
    result = _Parser(
        prog="prune recommend",
        description=HELP,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = result.add_argument
    add("filters", nargs="*", metavar="FILTERS", help="as of prune report")
    add("--max-drop", type=float, default=1.0, metavar="N", help="of quality, against dense (1.0)")
    add("--latency-ms", type=float, metavar="MS", help="of one pass, at most")
    add("--task", help="which one, if there are several")
    add("--export", choices=EXPORTS, help="write it for that runtime, with prune export")
    add("--json", action="store_true", help="print JSON")
    return result


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nsee: prune recommend --help")
