"""BERT-base, dense and at the shapes of pruned networks, in several runtimes that take turns.

Weights are random: they do not matter for the time. What is compared gives the same outputs, and
that is checked before it is timed.
"""

import copy
import csv
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from transformers import BertConfig, BertForQuestionAnswering

import prune
from prune.artifact import export as exports
from prune.artifact.shape import Shape
from prune.masks import structure
from prune.nonorm import replace, replace_norms
from prune.speed.files import OnnxFile
from prune.speed.protocol import interleaved
from prune.speed.runtimes import Compiled, Eager, Runtime
from prune.speed.workload import Workload

Network = BertForQuestionAnswering
HIDDEN, HEAD = 768, 64
IN_MEMORY = ("eager", "bf16", "compiled", "compiled_bf16")
FILES = ("onnx", "onnx_plain", "int8")
ONNX, INT8 = exports.ONNX, exports.INT8["dynamic"]
DENSE = Shape([12] * 12, [3072] * 12)
# The network of 88.26 F1 on SQuAD v1.1, hybrid, filled, teacher BERT-large, of Lagunas et al. 2021.
F1_88 = Shape(
    [5, 5, 9, 8, 9, 6, 8, 7, 8, 6, 5, 5],
    [202, 284, 354, 368, 384, 335, 288, 210, 109, 55, 79, 102],
)
# Tokens of real inputs, 32 quantiles: of MNLI's dev set and of SQuAD v1.1's, BERT's vocabulary.
REAL = {
    128: (12, 15, 17, 19, 21, 22, 24, 25, 26, 28, 29, 30, 32, 33, 34, 35, 37, 38, 40, 41, 43, 45,
          47, 49, 51, 53, 55, 58, 62, 67, 74, 90),
    384: (61, 86, 103, 112, 119, 123, 128, 131, 134, 138, 142, 145, 149, 153, 157, 161, 166, 170,
          175, 180, 185, 191, 197, 203, 211, 218, 228, 242, 259, 279, 309, 384),
}  # fmt: skip


def published(path: Path | None = None) -> dict[str, Shape]:
    """Shapes by name, of a CSV with the columns name, heads_per_layer and ffn_width_per_layer.

    Without a path: `reference/shapes.csv` in the folder that PRUNE_SHARED names.
    """
    shared = os.environ.get("PRUNE_SHARED")
    if path is None and shared:
        path = Path(shared, "reference", "shapes.csv")
    if path is None or not path.is_file():
        sys.exit("the published networks' shapes: name the CSV with --shapes, or set PRUNE_SHARED")
    with path.open() as file:
        return {
            line["name"]: Shape(
                [int(n) for n in line["heads_per_layer"].split()],
                [int(n) for n in line["ffn_width_per_layer"].split()],
            )
            for line in csv.DictReader(file)
        }


def dense(device: str = "cpu", layers: int = 12) -> Network:
    torch.manual_seed(0)
    config = BertConfig(num_hidden_layers=layers)
    return BertForQuestionAnswering(config).eval().to(device)  # type: ignore[arg-type]


@torch.no_grad()
def pruned(whole: Network, shape: Shape) -> Network:
    """`whole` masked to `shape` and shrunk, as a run does it."""
    masked = copy.deepcopy(whole)
    layers = zip(masked.bert.encoder.layer, shape.heads, shape.widths, strict=True)
    for layer, heads, width in layers:
        layer.attention.self.value.weight[heads * HEAD :] = 0
        layer.intermediate.dense.weight[width:] = 0
    return prune.shrink(masked)


def rounded(shape: Shape, multiple: int) -> Shape:
    """FFN widths up to a multiple."""
    return Shape(shape.heads, [-(-width // multiple) * multiple for width in shape.widths])


def operations(shape: Shape, length: int) -> float:
    """Multiplications a token, of all layers."""
    total = 0.0
    for heads, width in zip(shape.heads, shape.widths, strict=True):
        total += 4 * HIDDEN * HEAD * heads + 2 * HIDDEN * width + 2 * HEAD * heads * length
    return total


def swapped(model: Network, *, nonorm: bool = False, relu: bool = False) -> Network:
    """A copy without the norm in its norms, with ReLU in the place of GELU, or both."""
    model = copy.deepcopy(model)
    if nonorm:
        replace_norms(model)
    if relu:
        for ffn in structure.read(model).ffn:
            replace(model, ffn.activation, nn.ReLU())
    return model


def in_memory(kind: str, model: Network) -> Runtime:
    """One of IN_MEMORY."""
    dtype = "bf16" if "bf16" in kind else None
    return Compiled(model, dtype) if "compiled" in kind else Eager(model, dtype)


def path_of(kind: str, folder: Path) -> Path:
    """Where `exported` keeps one of FILES."""
    return folder / ("plain" if kind == "onnx_plain" else "") / (INT8 if kind == "int8" else ONNX)


def exported(kind: str, model: Network, folder: Path) -> tuple[Runtime, float]:
    """One of FILES as `prune export` writes it, and its megabytes.

    A file that is in `folder` is used again: name another folder when the code has changed.
    """
    path = path_of(kind, folder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        exports.export(model, path.parent, (), ["dynamic"], fuse=kind != "onnx_plain")
    return OnnxFile(path), path.stat().st_size / 1e6


def check(runtime: Runtime, model: Network, within: float = 1e-3) -> None:
    """Its outputs are those of `model` in eager mode, up to a share of their size."""
    batch = Workload(2, 32).batches(model, draw=0)[0]
    ours, expected = runtime(batch), Eager(model)(batch)
    for name in ("start_logits", "end_logits"):
        apart = (ours[name].float().cpu() - expected[name].float().cpu()).norm()
        assert apart <= within * expected[name].float().norm(), f"{runtime.name}: not the same"


def measured(
    runtimes: Mapping[str, Runtime], model: Network, work: Workload, rounds: int
) -> dict[str, list[float]]:
    """ms of every pass in each round."""
    passes = {name: work.timed(runtime, model) for name, runtime in runtimes.items()}
    times = interleaved(passes, rounds)
    return {name: [1e3 * s for s in seconds] for name, seconds in times.seconds.items()}


def has_bf16(device: str) -> bool:
    """Whether bf16 is more than a slow emulation here."""
    return device != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
