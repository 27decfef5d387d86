"""`prune bench`: what a model gains in time, over a grid of batch, length and runtime."""

import dataclasses
from argparse import Namespace
from typing import TYPE_CHECKING

from prune.commands import Parser, add_json, print_json, say, store_if_any, table
from prune.errors import MissingInputError, UsageError

if TYPE_CHECKING:
    from prune.benching import Asked, Cell
    from prune.opening import Opened

ABOUT = """\
Time a run's model, or that of a folder, beside the dense network it was cut from (or beside
another one), in any runtime: all in turn, in one process, with a bootstrap interval of the ratio.

runtimes: eager, compiled, torch_int8; and, exported first: onnx, int8, int8_static, openvino,
openvino_int8"""


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
    parser.add_argument("--rounds", type=int, help="at least 3 (default: those of the run)")
    parser.add_argument("--threads", type=int, help="of the processor (default: what torch has)")
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
    from prune.speed.lease import Lease

    ours = opened(asked.model, store)
    against = opened(asked.against, store) if asked.against else None
    lease = Lease(store.root / ".device" if store else None)
    tell = (lambda _: None) if asked.json else say
    cells = bench(ours, against, _settings(ours, asked, batches, lengths), lease, tell)
    names = (ours.name, against.name if against else "dense")
    if asked.json:
        from prune.store.environment import versions

        found = [dataclasses.asdict(cell) for cell in cells]
        print_json({"model": names[0], "against": names[1], "versions": versions(), "cells": found})
    else:
        _show(names, cells)
    return 0


def _settings(ours: "Opened", asked: Namespace, batches: list[int], lengths: list[int]) -> "Asked":
    from prune.benching import Asked

    config = ours.config.measure
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
        runtimes=tuple(dict.fromkeys(asked.runtime.split(","))),
        cells=tuple((b, n) for b in batches for n in lengths),
        padded=tuple(padded),
        lengths=real,
        dtype=asked.dtype,
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
        row = [inputs, f"{c.runtime} {c.dtype}", f"{c.dense_ms:.3g} ms", f"{c.pruned_ms:.3g} ms"]
        row += [f"{c.speedup:.2f}x", f"({c.speedup_low:.2f} to {c.speedup_high:.2f})"]
        rows.append(row + ([f"{cell.over_eager.median:.2f}x"] if cell.over_eager else []))
    print(table(rows, right=(2, 3, 4, 6)))


def _sizes(text: str | None) -> list[int]:
    """The numbers of a list such as 1,8,32."""
    try:
        found = [int(word) for word in text.split(",")] if text is not None else []
    except ValueError:
        found = [0]
    if text is not None and min(found) < 1:
        raise UsageError(f"{text!r} is not a list of sizes such as 1,8,32")
    return found
