"""P5, P6: BERT-base at the shapes of published pruned networks against BERT-base, random weights.

    python benchmarks/published_shapes.py networks --shapes FILE --runtime eager --batch 1,8
    python benchmarks/published_shapes.py plain rounding factors

`networks`: those of the CSV (networks.py says which columns; PRUNE_SHARED finds it too), each
against the dense one in the same runtime. `plain`: the 88.26-F1 one against plain modules of those
sizes. `rounding`: its widths up to multiples of 8 and 16. `factors`: what makes it fast, one by one
and all together. Each call adds its rows to one JSON. Everything takes hours on two cores: name
parts with --runtime, --batch, --length, --inputs and --only, and keep what was exported with
--exports.
"""

import argparse
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networks
import torch
from common import Row, row_of, write
from networks import DENSE, F1_88, FILES, IN_MEMORY, REAL, Network, check, measured, operations
from plain import Plain

from prune.artifact.shape import Shape
from prune.speed import measure
from prune.speed.machine import device_name
from prune.speed.runtimes import Runtime
from prune.speed.workload import Workload

WITHIN = {"bf16": 0.1, "compiled_bf16": 0.1, "int8": 0.3}  # of the size of the outputs
SHOWN = (8, 128)  # batch and length of README's rows
LARGE = 4096  # tokens, from which a pass is long: fewer rounds, and fewer batches of real lengths
GOAL, GOAL_INT8 = 10.0, 3.3


class Bench:
    """What one call asks for, and the dense network."""

    def __init__(self, asked: Namespace, exports: Path) -> None:
        self.asked, self.exports = asked, exports
        self.layers = 2 if asked.quick else 12
        self.dense = networks.dense(asked.device, self.layers)

    def works(self) -> Iterator[Workload]:
        for batch in self.asked.batch:
            for length in self.asked.length:
                for kind in self.asked.inputs:
                    pieces = 2 if batch * length >= LARGE else 8
                    lengths = () if kind == "padded" else REAL[length]
                    yield Workload(batch, length, lengths, kind == "padded", pieces)

    def times(self, runtimes: dict[str, Runtime], work: Workload, least: int = 5) -> dict[str, Any]:
        rounds = 5 if work.batch * work.length >= LARGE else 11
        return measured(runtimes, self.dense, work, self.asked.rounds or max(least, rounds))

    def pruned(self, shape: Shape) -> Network:
        return networks.pruned(self.dense, self.cut(shape))

    def cut(self, shape: Shape) -> Shape:
        return Shape(shape.heads[: self.layers], shape.widths[: self.layers])

    def ideal(self, shape: Shape, work: Workload) -> float | None:
        """The speedup by operations; with real lengths it differs from batch to batch."""
        counts = [operations(self.cut(s), work.length) for s in (DENSE, shape)]
        return counts[0] / counts[1] if work.padded else None

    def kinds(self) -> list[str]:
        """The runtimes asked for that make sense here."""
        kinds = [k for k in self.asked.runtime if k in IN_MEMORY or self.asked.device == "cpu"]
        if networks.has_bf16(self.asked.device):
            return kinds
        print("without bf16: this processor has no products of it")
        return [kind for kind in kinds if "bf16" not in kind]

    def runtime(self, kind: str, name: str, model: Network) -> tuple[Runtime, float]:
        """`model` in a runtime, checked, and the megabytes of its weights."""
        if kind in FILES:
            found, size = networks.exported(kind, model, self.exports / name)
        else:
            found, size = networks.in_memory(kind, model), measure.size_mb(model)
            size = size / 2 if "bf16" in kind else size
        check(found, model, WITHIN.get(kind, 1e-3))
        return found, size


def cell(work: Workload) -> str:
    return f"{work.batch} x {work.length}" + ("" if work.padded else " real")


def shown(work: Workload) -> bool:
    return work.padded and (work.batch, work.length) == SHOWN


def network_rows(bench: Bench) -> Iterator[Row]:
    """Each published network against the dense one, all in turn."""
    shapes = networks.published(bench.asked.shapes)
    names = [n for n in shapes if not bench.asked.only or n in bench.asked.only]
    models = {"BERT-base": bench.dense} | {name: bench.pruned(shapes[name]) for name in names}
    for kind in bench.kinds():
        runtimes = {name: bench.runtime(kind, name, model)[0] for name, model in models.items()}
        for work in bench.works():
            times = bench.times(runtimes, work)
            for name in names:
                label = f"{name}, {kind}, {cell(work)}", f"BERT-base, {kind}"
                pair, best = (times[name], times["BERT-base"]), bench.ideal(shapes[name], work)
                yield row_of(label, pair, "speedup", None, kind == "eager" and shown(work), best)


def plain_rows(bench: Bench) -> Iterator[Row]:
    """What cutting leaves behind: nothing that costs time. Beside it, what transformers costs."""
    models = {"shrunk to the 88.26-F1 shapes": bench.pruned(F1_88), "BERT-base": bench.dense}
    runtimes: dict[str, Runtime] = {n: networks.in_memory("eager", m) for n, m in models.items()}
    plain = {f"{name}, plain": Plain(model) for name, model in models.items()}
    for runtime, model in zip(plain.values(), models.values(), strict=True):
        check(runtime, model)
    for work in bench.works():
        times = bench.times({**runtimes, **plain}, work, least=20)
        for name, model in models.items():
            label = f"{name}, {cell(work)}", "plain modules of those sizes"
            limit = None if model is bench.dense else round(1 / 0.98, 3)
            yield row_of(label, (times[name], times[f"{name}, plain"]), "ratio", limit, work.padded)


def rounding_rows(bench: Bench) -> Iterator[Row]:
    """The widths of the 88.26-F1 network as they are, and up to multiples of 8 and 16."""
    shapes = {"as they are": F1_88} | {f"up to {n}": networks.rounded(F1_88, n) for n in (8, 16)}
    models = {name: bench.pruned(shape) for name, shape in shapes.items()}
    for kind in bench.kinds():
        runtimes = {n: bench.runtime(kind, f"widths {n}", m)[0] for n, m in models.items()}
        for work in bench.works():
            times = bench.times(runtimes, work, least=20)
            for name in list(shapes)[1:]:
                label = f"88.26-F1 widths {name}, {kind}, {cell(work)}", "widths as they are"
                pair = (times[name], times["as they are"])
                yield row_of(label, pair, "ratio", None, name == "up to 16" and shown(work))


def factor_rows(bench: Bench) -> Iterator[Row]:
    """Each factor over the dense network in eager fp32; all of them also over the dense int8."""
    found = factors(bench)
    runtimes = {name: runtime for name, (runtime, _) in found.items()}
    for work in bench.works():
        times = bench.times(runtimes, work)
        best = min((n for n in found if "everything" in n), key=lambda name: sum(times[name]))
        for name, (_, size) in list(found.items())[1:]:
            label = f"{name}, {size:.0f} MB, {cell(work)}", f"dense, eager, {found[BASE][1]:.0f} MB"
            same = name.startswith(SMALL) and not any(kind in name for kind in WITHIN)
            by_operations = bench.ideal(F1_88, work) if same else None  # of numbers of one size
            limit = GOAL if name == best else None
            yield row_of(
                label, (times[name], times[BASE]), "speedup", limit, shown(work), by_operations
            )
        if INT8 in found:
            label = f"{best}, {cell(work)}", INT8
            yield row_of(label, (times[best], times[INT8]), "speedup", GOAL_INT8, shown(work))


BASE, INT8, SMALL = "dense, eager", "dense, int8", "88.26-F1 shapes"


def factors(bench: Bench) -> dict[str, tuple[Runtime, float]]:
    """Runtimes and megabytes by what is in them, the dense network in eager fp32 first."""
    kinds = list(dict.fromkeys(["eager", *bench.kinds()]))
    small = bench.pruned(F1_88)
    found = {f"dense, {k}": bench.runtime(k, "BERT-base", bench.dense) for k in kinds}
    found |= {f"{SMALL}, {k}": bench.runtime(k, SMALL, small) for k in kinds}
    swaps = {"ReLU": (False, True), "NoNorm": (True, False), "everything": (True, True)}
    fastest = [k for k in ("int8", "compiled_bf16") if k in kinds] or kinds[-1:]
    for name, (nonorm, relu) in swaps.items():
        model = networks.swapped(small, nonorm=nonorm, relu=relu)
        for kind in fastest:
            found[f"{SMALL}, {name}, {kind}"] = bench.runtime(kind, f"{SMALL} {name}", model)
    return found


PARTS = {
    "networks": network_rows,
    "plain": plain_rows,
    "rounding": rounding_rows,
    "factors": factor_rows,
}


def main() -> None:
    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    def words(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--shapes", type=Path, help="a CSV, for `networks`")
    parser.add_argument("--only", type=words, help="networks by name")
    parser.add_argument("--runtime", type=words, default=[*IN_MEMORY, *FILES])
    parser.add_argument("--batch", type=numbers, default=[1, 8, 32])
    parser.add_argument("--length", type=numbers, default=[128, 384])
    parser.add_argument("--inputs", type=words, default=["padded", "real"])
    parser.add_argument("--rounds", type=int, help="default: 5 to 20")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--exports", type=Path, help="a folder that keeps the exported files")
    parser.add_argument("--out", type=Path, help="a folder for the JSON")
    parser.add_argument("--quick", action="store_true", help="a trial: two layers")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(asked, asked.exports or Path(folder))
        for part in asked.parts:
            rows = list(PARTS[part](bench))
            about = "BERT-base shapes, random weights" + ", two layers" * asked.quick
            device = device_name(bench.dense.device) if asked.device != "cpu" else ""
            write("published_shapes", rows, asked.threads, about, device, True, asked.out)


if __name__ == "__main__":
    main()
