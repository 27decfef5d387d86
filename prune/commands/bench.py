"""`prune bench`: what a model gains in time, over a grid of batch, length and runtime."""

import dataclasses
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from prune.commands import Parser, add_json, print_json, say, store_if_any, table
from prune.errors import MissingInputError, UsageError
from prune.records import readable

if TYPE_CHECKING:
    from prune.benching import Asked, Cell
    from prune.opening import Opened

ABOUT = """\
Time a run's model, or that of a folder, beside the dense network it was cut from (or beside
another one), in any runtime: all in turn, in one process, with a bootstrap interval of the ratio.

runtimes: eager, compiled, torch_int8; block_sparse, which multiplies the live blocks alone; and,
exported first: onnx, int8, int8_static, openvino, openvino_int8"""


def main(argv: list[str]) -> int:
    parser = Parser("prune bench", ABOUT, "prune bench 7f3a91c2 --runtime eager,onnx --batch 1,8")
    parser.add_argument("model", metavar="RUN|DIR", help="a run id, or a folder of a run or model")
    parser.add_argument("--against", metavar="RUN|DIR", help="default: the same network, dense")
    parser.add_argument("--runtime", default="eager", help="as eager,compiled,onnx,int8")
    parser.add_argument("--batch", help="as 1,8,32 (default: those of the run)")
    parser.add_argument("--length", help="tokens, as 128,384 (default: those of the run)")
    parser.add_argument("--padded", action="store_true", help="all inputs as long as --length")
    parser.add_argument(
        "--real-length", action="store_true", help="as long as those of the run's task are"
    )
    parser.add_argument("--dtype", choices=("fp32", "bf16"), help="default: that of the model")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where it can be")
    parser.add_argument("--rounds", type=int, help="at least 3 (default: those of the run)")
    parser.add_argument("--threads", type=int, help="of the processor (default: what torch has)")
    parser.add_argument(
        "--record", action="store_true", help="add what is measured to the run, for its report"
    )
    add_json(parser)
    asked = parser.parse_args(argv)
    if asked.rounds is not None and asked.rounds < 3:
        raise UsageError(f"--rounds {asked.rounds} is too few for an interval: at least 3")
    if asked.threads is not None and asked.threads < 1:
        raise UsageError(f"--threads {asked.threads}: at least 1")
    return _run(asked, _sizes(asked.batch), _sizes(asked.length))


def _run(asked: Namespace, batches: list[int], lengths: list[int]) -> int:
    store = store_if_any()
    from prune.commands import calm

    calm()
    from prune.benching import bench
    from prune.opening import opened
    from prune.speed.lease import device_lease

    ours = opened(asked.model, store)
    if asked.record:
        _check_record(ours, asked)
    against = opened(asked.against, store) if asked.against else None
    lease = device_lease(store.root if store else None)
    tell = (lambda _: None) if asked.json else say
    cells = bench(ours, against, _settings(ours, asked, batches, lengths), lease, tell)
    names = (ours.name, against.name if against else "dense")
    if asked.json:
        from prune.store.environment import versions

        found = [dataclasses.asdict(cell) for cell in cells]
        print_json({"model": names[0], "against": names[1], "versions": versions(), "cells": found})
    else:
        _show(names, cells)
    if asked.record:
        tell(_recorded(ours, cells))
    return 0


def _check_record(ours: "Opened", asked: Namespace) -> None:
    """Raises UsageError for what is no evidence about the run's own weights and quality."""
    from prune.choices import RUNTIMES

    others = [name for name in asked.runtime.split(",") if name not in RUNTIMES]
    reasons = {
        f"{ours.name} is no run, nor the model of one": ours.point is None,
        f"only of {', '.join(RUNTIMES)}: others run other weights": bool(others),
        "without --dtype: the run's quality is of the type it has": bool(asked.dtype),
        "without --against: a run is held against its dense network": bool(asked.against),
    }
    if why := [reason for reason, holds in reasons.items() if holds]:
        raise UsageError(f"--record: {why[0]}")


def _recorded(ours: "Opened", cells: list["Cell"]) -> str:
    from prune.store.amending import amend

    assert ours.record is not None and ours.point is not None
    count = amend(Path(ours.record.path), ours.point.artifact, [c.latency for c in cells])
    kept = f"; the run itself measured the other {len(cells) - count}" * (count < len(cells))
    return f"recorded {count} of {len(cells)} cells in {ours.record.path}/result.json{kept}"


def _settings(ours: "Opened", asked: Namespace, batches: list[int], lengths: list[int]) -> "Asked":
    import torch

    from prune.benching import EXPORTED, Asked

    config, runtimes = ours.config.measure, tuple(dict.fromkeys(asked.runtime.split(",")))
    exported, cuda = set(runtimes) & EXPORTED.keys(), torch.cuda.is_available()
    if asked.device == "cuda" and not cuda:
        raise UsageError("--device cuda: torch can use no GPU here (see: prune doctor)")
    grid = [(b, n) for b, n in config.grid]
    batches = batches or list(dict.fromkeys(b for b, _ in grid))
    lengths = lengths or list(dict.fromkeys(n for _, n in grid))
    real: tuple[int, ...] = ()
    if asked.real_length:
        task = ours.task()
        if task is None:
            raise MissingInputError(
                f"{ours.name} belongs to no run: --real-length needs the inputs of its task"
            )
        real = tuple(task.eval["length"])
    padded = [True] * (asked.padded or not asked.real_length) + [False] * asked.real_length
    return Asked(
        runtimes=runtimes,
        cells=tuple((b, n) for b in batches for n in lengths),
        padded=tuple(padded),
        lengths=real,
        dtype=asked.dtype,
        device=asked.device or ("cuda" if cuda and not exported else "cpu"),
        rounds=asked.rounds or config.rounds,
        threads=asked.threads or config.threads,
        seed=ours.config.seed,
    )


def _show(names: tuple[str, str], cells: list["Cell"]) -> None:
    first = cells[0].latency
    threads = f"{first.threads} thread" + "s" * (first.threads > 1)
    clock = f", {first.clock_mhz:.0f} MHz" if first.clock_mhz else ""
    say(f"{names[0]} against {names[1]}   {first.device}, {threads}{clock}, {first.rounds} rounds")
    eager = any(cell.over_eager for cell in cells)
    rows = [["", "runtime", names[1], names[0], "speedup", ""]]
    rows[0] += [f"over {names[1]}, eager"] * eager
    for cell in cells:
        c = cell.latency
        inputs = f"{c.batch} x {c.length}" + ("" if c.padded else " real")
        row = [inputs, f"{c.runtime} {c.dtype}"]
        row += [f"{readable(c.dense_ms)} ms", f"{readable(c.pruned_ms)} ms"]
        row += [f"{c.speedup:.2f}x", f"({c.speedup_low:.2f} to {c.speedup_high:.2f})"]
        rows.append(row + ([f"{cell.over_eager.median:.2f}x"] if cell.over_eager else []))
    print(table(rows, right=(2, 3, 4, 6)))
    for note in dict.fromkeys(f"{c.latency.runtime}: {c.note}" for c in cells if c.note):
        say(note)


def _sizes(text: str | None) -> list[int]:
    """The numbers of a list such as 1,8,32."""
    try:
        found = [int(word) for word in text.split(",")] if text is not None else []
    except ValueError:
        found = [0]
    if text is not None and min(found) < 1:
        raise UsageError(f"{text!r} is not a list of sizes such as 1,8,32")
    return found
