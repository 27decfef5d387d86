"""`prune recommend`: which checkpoint to ship, with a margin for noise, and how to load it."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from analysis.family import BLOCK_SPARSE
from prune.errors import MissingInputError, PruneError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from analysis.metrics import Metric

HELP = """Choose the checkpoint to ship, from what the runs measured. Loads no model.

Without --latency-ms the fastest one within --max-drop; with it the best one that is fast enough,
and of those that tie the fastest. A drop counts with the noise that seeds alone make, a latency
with the end of its interval. Filters are those of `prune report`: batch=1 group=block_shapes."""
EXAMPLE = "Example: prune recommend --max-drop 1.0 --task squad batch=1"
EXPORTS = ("onnx", "int8", "openvino")


def main(argv: Sequence[str]) -> int:
    """Run `prune recommend` with these arguments; 0, or an error of prune.errors."""
    options = parser().parse_intermixed_args(list(argv))
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
    found = recommend(table, y, options.max_drop, options.latency_ms)
    if options.export:
        export(found["run_id"], options.export)
    if options.json:
        print(json.dumps(found, allow_nan=False))
    else:
        print("\n".join(lines(found, y)))
    return 0


def recommend(
    table: "pd.DataFrame", y: "Metric", max_drop: float, latency_ms: float | None = None
) -> dict[str, Any]:
    """The checkpoint to ship, and what the next faster one would cost.

    Raises MissingInputError, naming the nearest miss, if none fits with its margin for noise.
    """
    rows = candidates(table, y)
    fits = rows[rows["drop"] + y.noise <= max_drop + 1e-9]
    if latency_ms is not None:
        fits = fits[fits["slow_ms"] <= latency_ms]
    if fits.empty:
        raise MissingInputError(_nearest(rows, y, max_drop, latency_ms))
    if latency_ms is not None:  # of those that tie with the best, the fastest
        fits = fits[fits["drop"] <= fits["drop"].min() + y.noise]
    best = fits.sort_values(["pruned_ms", "drop"]).iloc[0]
    faster = rows[rows["pruned_ms"] < best["pruned_ms"]].sort_values(["drop", "pruned_ms"])
    return {
        **{k: str(best[k]) for k in ("run_id", "family", "command", "task", "metric")},
        "model": str(Path(best["path"], best["artifact"])),
        **{k: float(best[k]) for k in ("quality", "drop", "pruned_ms", "slow_ms", "speedup")},
        "batch": int(best["batch"]),
        "length": int(best["length"]),
        "runtime": str(best["runtime"]),
        "size_mb": float(best["size_mb"]),
        "noise": y.noise,
        "next": {
            "run_id": str(faster.iloc[0]["run_id"]),
            "costs": float(faster.iloc[0]["drop"] - best["drop"]),
            "saves_ms": float(best["pruned_ms"] - faster.iloc[0]["pruned_ms"]),
        }
        if len(faster)
        else None,
    }


def candidates(table: "pd.DataFrame", y: "Metric") -> "pd.DataFrame":
    """Checkpoints of ours with all that is asked of them: `drop` against dense, and `slow_ms`."""
    import numpy as np

    own = table[(table["source"] == "") & (table["stage"] != "dense")]
    sign = 1.0 if y.higher else -1.0
    slow = own["speedup"] / own["speedup_low"].fillna(own["speedup"])
    rows = own.assign(
        drop=sign * (own["dense_quality"] - own["quality"]), slow_ms=own["pruned_ms"] * slow
    )
    known = np.isfinite(rows[["drop", "pruned_ms", "slow_ms"]].to_numpy(dtype=float)).all(axis=1)
    if not known.any():
        raise MissingInputError(
            "no checkpoint of yours has a dense reference and a latency: prune train, prune sweep"
        )
    found: pd.DataFrame = rows.loc[known]
    return found


def _nearest(rows: "pd.DataFrame", y: "Metric", max_drop: float, latency_ms: float | None) -> str:
    asked = f"a drop of {max_drop:g} {y.label} (with {y.noise:g} for noise)"
    best = rows.sort_values("drop").iloc[0]
    text = f"the best has {best['drop']:.1f} at {best['pruned_ms']:.1f} ms ({best['run_id']})"
    if latency_ms is None:
        return f"none of {len(rows)} checkpoints is within {asked}; {text}"
    fast = rows.sort_values("slow_ms").iloc[0]
    return (
        f"none of {len(rows)} checkpoints is within {asked} and {latency_ms:g} ms; {text}, the "
        f"fastest {fast['slow_ms']:.1f} ms with a drop of {fast['drop']:.1f} ({fast['run_id']})"
    )


def export(run: str, form: str) -> None:
    """`prune export` writes the files, measures them in their runtime and writes the card."""
    command = [sys.executable, "-P", "-m", "prune", "export", run, f"--{form}"]
    done = subprocess.run(command, stdout=sys.stderr)
    if done.returncode:
        raise PruneError(f"the export failed; see: prune export {run} --{form}")


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
    text += ["to use it:", "import prune", f"model = prune.load({found['model']!r})"]
    if found["runtime"] == BLOCK_SPARSE:
        text += ["from prune.kernels.convert import convert", "model = convert(model)"]
    return text


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
