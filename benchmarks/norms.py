"""What NoNorm, ReLU and both are worth in time: BERT-base, dense and at the 88.26-F1 shapes.

    python benchmarks/norms.py [--threads 2]

Each against the same network with layer norms and GELU, in eager mode and in ONNX Runtime, as
`prune export` writes it, which keeps ONNX Runtime from fusing a norm with the sum before it: what
it loses where it does so is a row of its own. MobileBERT's authors saw up to three times the speed
on a phone without the norms (Sun et al. 2020).
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import networks
import torch
from common import MIN_PAIRS, Row, row_of, write
from networks import Network, check, measured

from prune.artifact import onnx_graph
from prune.artifact.shape import Shape
from prune.speed.files import OnnxFile
from prune.speed.runtimes import Runtime
from prune.speed.workload import Workload

SWAPS = {"NoNorm": (True, False), "ReLU": (False, True), "NoNorm and ReLU": (True, True)}
AS_IT_IS, FUSED = "LayerNorm and GELU", "norms fused with sums by ONNX Runtime"
WITHIN = {"int8": 0.3}
KINDS = ("eager", "onnx", "int8")
WORKS = {Workload(1, 128): MIN_PAIRS, Workload(8, 128): 7}  # and in how many rounds


def rows(name: str, model: Network, kind: str, folder: Path) -> Iterator[Row]:
    variants = {AS_IT_IS: model} | {
        swap: networks.swapped(model, nonorm=nonorm, relu=relu)
        for swap, (nonorm, relu) in SWAPS.items()
    }
    runtimes = {swap: ready(kind, folder / name / swap, m) for swap, m in variants.items()}
    if kind != "eager":
        runtimes[FUSED] = fused(kind, folder / name / AS_IT_IS)
        check(runtimes[FUSED], model, WITHIN.get(kind, 1e-3))
    for work, rounds in WORKS.items():
        times = measured(runtimes, model, work, rounds)
        for swap in list(runtimes)[1:]:
            label = f"{name}, {kind}, {work.batch} x {work.length}, {swap}", AS_IT_IS
            shown = swap != "NoNorm and ReLU" and work.batch > 1 and kind != "int8"
            yield row_of(label, (times[swap], times[AS_IT_IS]), "speedup", None, shown)


def ready(kind: str, folder: Path, model: Network) -> Runtime:
    if kind == "eager":
        return networks.in_memory(kind, model)
    runtime, _ = networks.exported(kind, model, folder)
    check(runtime, model, WITHIN.get(kind, 1e-3))
    return runtime


def fused(kind: str, folder: Path) -> Runtime:
    """An exported file whose sums are said in the word that ONNX Runtime knows."""
    path = networks.path_of(kind, folder)
    graph = onnx_graph.load(path)
    for node in graph.graph:
        node.op_type = "Add" if node.op_type == "Sum" else node.op_type
    changed = path.with_name(f"fused-{path.name}")
    onnx_graph.save(graph, changed)
    return OnnxFile(changed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a folder for the JSON")
    parser.add_argument("--quick", action="store_true", help="a trial: two layers")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    layers = 2 if asked.quick else 12
    whole = networks.dense(layers=layers)
    small = networks.pruned(
        whole, Shape(networks.F1_88.heads[:layers], networks.F1_88.widths[:layers])
    )
    about = "With and without norms" + ", two layers" * asked.quick
    with tempfile.TemporaryDirectory() as folder:
        for name, model in (("BERT-base", whole), ("88.26-F1 shapes", small)):
            for kind in KINDS:
                found = list(rows(name, model, kind, Path(folder)))
                write("norms", found, asked.threads, about, merge=True, folder=asked.out)


if __name__ == "__main__":
    main()
