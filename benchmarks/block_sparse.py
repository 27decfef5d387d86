"""Block-sparse linear layers and whole encoders against dense ones, side by side, on the CPU.

    python benchmarks/block_sparse.py [layer grid rivals models] [--threads 1] [--quick]

`layer`: the six linears of a BERT-base layer, 32x32: what README's table shows. `grid`: each shape
x tokens x block x density. `rivals`: other products of the same blocks, and another dense one.
`models`: a BERT-base-sized encoder. A dense fp32 product is MKL's in this torch, a bf16 one
oneDNN's; oneDNN's fp32 product is a row of its own. Results are checked before they are timed;
inputs are never zeros.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from common import RESULTS, Row, compare, write
from torch import Tensor, nn
from transformers import BertConfig, BertModel

import prune
from prune.kernels import BlockSparseLinear
from prune.kernels.convert import convert
from prune.kernels.pattern import random_pattern

SHAPES = [(768, 768), (3072, 768), (768, 3072)]  # (out, in)
LAYER = [(768, 768)] * 4 + [(3072, 768), (768, 3072)]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
IDEAL, IDEAL_BACKWARD = 0.85, 0.80  # goals: shares of the ideal speedup, at 75 % sparsity
NEVER_SLOWER = 1.05
INPUTS = 4  # in turn


def twins(
    shape: tuple[int, int], density: float, side: int, dtype: torch.dtype, backend: str = "auto"
) -> tuple[BlockSparseLinear, nn.Linear]:
    """A block-sparse layer and a dense one with the same outputs."""
    dense = nn.Linear(shape[1], shape[0], dtype=dtype)
    pattern = random_pattern((shape[0] // side, shape[1] // side), density)
    with torch.no_grad():
        dense.weight *= pattern.repeat_interleave(side, 0).repeat_interleave(side, 1)
    sparse = BlockSparseLinear.from_linear(dense, pattern, backend)
    x = torch.randn(50, shape[1], dtype=dtype)
    with torch.no_grad():
        torch.testing.assert_close(sparse(x), dense(x), rtol=2e-2, atol=2e-2)
    return sparse, dense


def forward(layers: Sequence[Callable[[Tensor], Tensor]], xs: Sequence[list[Tensor]]) -> Any:
    """A call that runs each layer on its next input."""
    turn = itertools.cycle(range(INPUTS))

    def once() -> None:
        number = next(turn)
        with torch.no_grad():
            for layer, inputs in zip(layers, xs, strict=True):
                layer(inputs[number])

    return once


def both_ways(layers: Sequence[nn.Module], xs: Sequence[list[Tensor]]) -> Any:
    """Forward, and the gradients of input, weights and bias."""
    turn = itertools.cycle(range(INPUTS))

    def once() -> None:
        number = next(turn)
        for layer, inputs in zip(layers, xs, strict=True):
            x = inputs[number].requires_grad_()
            y = layer(x)
            y.backward(y.detach())  # any gradient that is not zero
            x.grad = None
            layer.zero_grad()

    return once


def inputs(shapes: Sequence[tuple[int, int]], tokens: int, dtype: torch.dtype) -> list[Any]:
    return [[torch.randn(tokens, s[1], dtype=dtype) for _ in range(INPUTS)] for s in shapes]


def layer_rows(quick: bool) -> Iterator[Row]:
    tokens = 128 if quick else 1024
    for name, dtype in DTYPES.items():
        xs = inputs(LAYER, tokens, dtype)
        for density, run, share in (
            (0.95, forward, 0.95),
            (0.25, forward, IDEAL),
            (0.25, both_ways, IDEAL_BACKWARD),
        ):
            made = [twins(shape, density, 32, dtype, "llvm") for shape in LAYER]
            sparse, dense = zip(*made, strict=True)
            way = "forward and backward" if run is both_ways else "forward"
            names = f"linears of a layer, {name}, density {density}, {way}", "nn.Linear"
            yield compare(names, (run(sparse, xs), run(dense, xs)), "ratio", density / share)


def grid_rows(quick: bool) -> Iterator[Row]:
    lengths = [128] if quick else [128, 1024, 4096]
    sides = [32] if quick else [16, 32, 64]
    densities = [0.25, 1.0] if quick else [0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
    for (name, dtype), shape, tokens in itertools.product(DTYPES.items(), SHAPES, lengths):
        xs = inputs([shape], tokens, dtype)
        for side, density in itertools.product(sides, densities):
            limit = min(NEVER_SLOWER, density / IDEAL)
            sparse, dense = twins(shape, density, side, dtype)
            what = f"auto {name} {shape[0]}x{shape[1]} M={tokens} {side}x{side} d={density}"
            calls = forward([sparse], xs), forward([dense], xs)
            yield compare((what, "nn.Linear"), calls, "ratio", limit)
            sparse.backend = "llvm"
            what = what.replace("auto", "llvm", 1)
            yield compare((what, "nn.Linear"), calls, "ratio", limit)


def rival_rows(quick: bool) -> Iterator[Row]:
    """The kernel against other ways to the same result; below 1 the kernel is faster."""
    tokens, shape = 128 if quick else 1024, (3072, 768)
    for (name, dtype), density in itertools.product(DTYPES.items(), (0.1, 0.25, 0.5, 1.0)):
        xs = inputs([shape], tokens, dtype)
        sparse, dense = twins(shape, density, 32, dtype, "llvm")
        ours = forward([sparse], xs)
        for rival, call in rivals(sparse, dense).items():
            with torch.no_grad():
                right = dense(xs[0][0])
                torch.testing.assert_close(call(xs[0][0]), right, rtol=5e-2, atol=5e-2)
            what = f"llvm {name} 3072x768 M={tokens} 32x32 d={density}"
            yield compare((what, rival), (ours, forward([call], xs)), "ratio", 1.0)


def rivals(sparse: BlockSparseLinear, dense: nn.Linear) -> dict[str, Callable[[Tensor], Tensor]]:
    weight, bias = dense.weight.detach(), dense.bias.detach()
    rows = BlockSparseLinear.from_linear(dense, sparse.layout.pattern(), "rows")
    onednn = torch.ops.mkldnn._linear_pointwise
    found = {"rows backend": rows, "oneDNN": lambda x: onednn(x, weight, bias, "none", [], "")}
    if weight.dtype == torch.float32:  # torch's BSR has no bf16 on the CPU
        blocks = weight.to_sparse_bsr((32, 32))
        found["torch BSR"] = lambda x: nn.functional.linear(x, blocks, bias)
    return found


def model_rows(quick: bool) -> Iterator[Row]:
    layers, batch = (2, 1) if quick else (12, 8)
    tokens = [{"input_ids": torch.randint(1000, (batch, 128))} for _ in range(INPUTS)]
    for density, name in itertools.product((0.5, 0.25, 0.1), DTYPES):
        dense = blocked(encoder(layers), density)
        small = prune.shrink(narrowed(encoder(layers), density)).to(DTYPES[name])
        dense = dense.to(DTYPES[name])
        sparse = convert(dense, r"encoder\..*")
        with torch.no_grad():
            right, ours = (m(**tokens[0]).last_hidden_state.float() for m in (dense, sparse))
        assert (ours - right).norm() <= 2e-2 * right.norm(), "not the same network"
        what = f"encoder of {layers} layers, {name}, 32x32 blocks, density {density}"
        for against, other in (("dense", dense), ("shrunk to that density", small)):
            calls = network(sparse, tokens), network(other, tokens)
            yield compare((what, against), calls, "ratio", 1.0)


def encoder(layers: int) -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(num_hidden_layers=layers, vocab_size=1000)
    return BertModel(config, add_pooling_layer=False).eval()


@torch.no_grad()
def blocked(model: BertModel, density: float) -> BertModel:
    """Random 32x32 blocks of all its linears kept."""
    for module in model.encoder.modules():
        if isinstance(module, nn.Linear):
            rows, columns = module.out_features // 32, module.in_features // 32
            keep = random_pattern((rows, columns), density)
            module.weight *= keep.repeat_interleave(32, 0).repeat_interleave(32, 1)
    return model


@torch.no_grad()
def narrowed(model: BertModel, density: float) -> BertModel:
    """As many weights left, in whole heads and neurons."""
    heads, neurons = max(1, round(density * 12)), round(density * 3072)
    for layer in model.encoder.layer:
        layer.attention.self.value.weight[heads * 64 :] = 0
        layer.intermediate.dense.weight[neurons:] = 0
    return model


def network(model: nn.Module, tokens: Sequence[dict[str, Tensor]]) -> Callable[[], None]:
    turn = itertools.cycle(range(INPUTS))

    def once() -> None:
        with torch.inference_mode():
            model(**tokens[next(turn)])

    return once


PARTS = {"layer": layer_rows, "grid": grid_rows, "rivals": rival_rows, "models": model_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a trial: smaller, nothing written")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    about = "BERT-base shapes, random 32x32 blocks (else as named), eager, fp32 dense by MKL"
    for part in given.parts or PARTS:
        rows = list(PARTS[part](given.quick))
        if given.quick:
            continue
        # README shows the one; the others would be hundreds of lines.
        folder = "" if part == "layer" and given.threads == 1 else "block_sparse/"
        (RESULTS / folder).mkdir(parents=True, exist_ok=True)
        write(f"{folder}block_sparse_{part}_{given.threads}", rows, given.threads, about)


if __name__ == "__main__":
    main()
