"""Block-sparse linear layers and whole encoders against dense ones, side by side.

    python benchmarks/block_sparse.py [PARTS] [--threads 1] [--device cpu] [--quick]

`layer`: the six linears of a BERT-base layer together, 32x32. `grid`: each shape x tokens x block
x density. `training`: forward and backward. `rivals`: other products of the same blocks, and
another dense one. `models`: a BERT-base-sized encoder. A quarter of an hour for one and two
threads; a part that is run again takes the place of its rows in the file.

What is dense is named: fp32 is MKL's in this torch; bf16 is oneDNN's, or a plain loop where the
processor has no AVX-512. That loop is so slow that bf16 is measured on few tokens then, and not in
`training`. Results are checked before they are timed; inputs are never zeros.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from block_sparse_cases import INPUTS, MANY, Contender, Setting, both_ways, forward, merge
from block_sparse_models import model_cases
from block_sparse_table import Case
from torch import Tensor, nn

from prune.kernels import BlockSparseLinear, backends
from prune.kernels.pattern import random_pattern

SHAPES = [(768, 768), (3072, 768), (768, 3072)]  # (out, in)
LAYER = [(768, 768)] * 4 + [(3072, 768), (768, 3072)]
DENSITIES = (0.1, 0.25, 0.5, 0.75, 0.95, 1.0)
FEWER = (0.25, 0.5, 0.95)  # of 4,096 tokens, which take most of the time
IDEAL, IDEAL_BACKWARD = 0.85, 0.80  # goals: shares of the ideal speedup, at 75 % sparsity
NEVER_SLOWER = 1.05
# Density at which a kernel must tie with a dense layer; and the side of its blocks.
PARITY = {("cpu", "fp32"): (0.95, 32), ("cpu", "bf16"): (0.95, 32)}
PARITY |= {("cuda", "fp32"): (0.7, 32), ("cuda", "bf16"): (0.3, 64)}


def twins(
    setting: Setting, dtype: str, shape: tuple[int, int], density: float, side: int
) -> tuple[BlockSparseLinear, nn.Linear]:
    """A block-sparse layer, by the kernel, and a dense one with the same outputs."""
    made = {"dtype": setting.torch_dtype(dtype), "device": setting.device}
    dense = nn.Linear(shape[1], shape[0], **made)
    pattern = random_pattern((shape[0] // side, shape[1] // side), density).to(setting.device)
    with torch.no_grad():
        dense.weight *= pattern.repeat_interleave(side, 0).repeat_interleave(side, 1)
    sparse = BlockSparseLinear.from_linear(dense, pattern, setting.kernel)
    agree(sparse, dense, torch.randn(50, shape[1], **made))
    return sparse, dense


def agree(ours: Callable[[Tensor], Tensor], right: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(ours(x), right(x), rtol=2e-2, atol=2e-2)


def inputs(
    setting: Setting, dtype: str, shapes: Sequence[tuple[int, int]], tokens: int
) -> list[list[Tensor]]:
    made = {"dtype": setting.torch_dtype(dtype), "device": setting.device}
    return [[torch.randn(tokens, s[1], **made) for _ in range(INPUTS)] for s in shapes]


def layer_cases(setting: Setting, dtype: str) -> Iterator[Case]:
    tokens = setting.many(dtype)
    xs = inputs(setting, dtype, LAYER, tokens)
    parity, side = PARITY[setting.device, dtype]
    for density, blocks, run, share in (
        (parity, side, forward, parity),
        (0.25, 32, forward, IDEAL),
        (0.25, 32, both_ways, IDEAL_BACKWARD),
    ):
        made = [twins(setting, dtype, shape, density, blocks) for shape in LAYER]
        sparse, dense = zip(*made, strict=True)
        way = "both" if run is both_ways else "forward"
        facts = {"shape": "layer", "tokens": tokens, "block": blocks, "density": density}
        ours = Contender(run(sparse, xs), density / share, {**facts, "way": way})
        yield from setting.timed("layer", dtype, [ours], run(dense, xs))


def grid_cases(setting: Setting, dtype: str) -> Iterator[Case]:
    """The kernel; and what `auto` does where that is something else."""
    for shape, tokens in itertools.product(SHAPES, setting.tokens(dtype)):
        xs = inputs(setting, dtype, [shape], tokens)
        for density in DENSITIES if tokens <= MANY else FEWER:
            contenders = []
            for side in (16, 32, 64):
                sparse, dense = twins(setting, dtype, shape, density, side)
                facts = {"shape": f"{shape[0]}x{shape[1]}", "tokens": tokens, "density": density}
                facts |= {"block": side, "memory": memory(sparse)}
                limit = density / IDEAL if density <= 0.25 else NEVER_SLOWER
                contenders.append(Contender(forward([sparse], xs), limit, facts))
                kind = setting.device, setting.torch_dtype(dtype), (side, side)
                if not backends.worth_it(*kind, density):
                    auto = BlockSparseLinear.from_linear(dense, sparse.layout.pattern())
                    facts = {**facts, "backend": "auto"}
                    contenders.append(Contender(forward([auto], xs), NEVER_SLOWER, facts))
            yield from setting.timed("grid", dtype, contenders, forward([dense], xs))


def memory(layer: BlockSparseLinear) -> float:
    """Bytes of its blocks and index, over density x those of the dense matrix."""
    held = sum(t.numel() * t.element_size() for t in (layer.values, layer.index))
    whole = layer.out_features * layer.in_features * layer.values.element_size()
    return held / (layer.density * whole)


def training_cases(setting: Setting, dtype: str) -> Iterator[Case]:
    if setting.loops(dtype):
        return
    tokens = setting.many(dtype)
    for shape, density in itertools.product(SHAPES, (0.1, 0.25, 0.5)):
        xs = inputs(setting, dtype, [shape], tokens)
        contenders = []
        for side in (16, 32, 64):
            sparse, dense = twins(setting, dtype, shape, density, side)
            facts = {"shape": f"{shape[0]}x{shape[1]}", "tokens": tokens, "density": density}
            facts |= {"block": side, "way": "both"}
            call = both_ways([sparse], xs)
            contenders.append(Contender(call, density / IDEAL_BACKWARD, facts))
        yield from setting.timed("training", dtype, contenders, both_ways([dense], xs))


def rival_cases(setting: Setting, dtype: str) -> Iterator[Case]:
    """The kernel, then other ways to the same result, each against the dense one."""
    tokens, shape = setting.many(dtype), (3072, 768)
    xs = inputs(setting, dtype, [shape], tokens)
    for density in (0.1, 0.25, 0.5):
        sparse, dense = twins(setting, dtype, shape, density, 32)
        contenders = []
        for name, call in {setting.kernel: sparse, **rivals(setting, dtype, sparse, dense)}.items():
            try:
                agree(call, dense, xs[0][0])
            except RuntimeError as error:  # torch's BSR has not every type on every device
                print(f"{name} has no {dtype} here: {error}")
                continue
            facts = {"shape": "3072x768", "tokens": tokens, "block": 32, "density": density}
            contenders.append(Contender(forward([call], xs), 1.0, {**facts, "backend": name}))
        yield from setting.timed("rivals", dtype, contenders, forward([dense], xs))


def rivals(
    setting: Setting, dtype: str, sparse: BlockSparseLinear, dense: nn.Linear
) -> dict[str, Callable[[Tensor], Tensor]]:
    weight, bias = dense.weight.detach(), dense.bias.detach()
    found: dict[str, Callable[[Tensor], Tensor]] = {
        "rows": BlockSparseLinear.from_linear(dense, sparse.layout.pattern(), "rows")
    }
    if setting.device == "cuda" or dtype == "fp32":  # torch's BSR has no bf16 on the CPU
        blocks = weight.to_sparse_bsr((32, 32))
        found["torch BSR"] = lambda x: nn.functional.linear(x, blocks, bias)
    if setting.device == "cpu" and (dtype == "fp32" or not setting.loops(dtype)):
        onednn = torch.ops.mkldnn._linear_pointwise
        found["dense by oneDNN"] = lambda x: onednn(x, weight, bias, "none", [], "")
    return found


PARTS: dict[str, Callable[[Setting, str], Iterator[Case]]] = {
    "layer": layer_cases,
    "grid": grid_cases,
    "training": training_cases,
    "rivals": rival_cases,
    "models": model_cases,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="as 1 2 (default)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="a trial: smaller, nothing written")
    parser.add_argument("--out", type=Path, help="a folder for the JSON")
    given = parser.parse_args()
    for threads in given.threads if given.device == "cpu" else [1]:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        setting = Setting(given.device, threads, given.quick)
        for part in given.parts or PARTS:
            cases = [case for dtype in setting.dtypes for case in PARTS[part](setting, dtype)]
            if not given.quick:
                merge(setting, part, cases, given.out)


if __name__ == "__main__":
    main()
