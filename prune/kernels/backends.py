"""Four backends behind one interface of three functions; which serves a layer, which is best.

product(x, values, bias, layout)        y = x W' + b
transposed(grad, values, layout)        dL/dx = dL/dy W
sampled(grad, x, size, layout)          dL/dW at the live blocks

"""

import math
import warnings
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor

from prune.errors import KernelError, unknown
from prune.kernels.layout import Layout

AUTO, DENSE = "auto", "reference"
HOMES = {
    "reference": "prune.kernels.reference",
    "rows": "prune.kernels.rows",
    "llvm": "prune.kernels.llvm",
    "triton": "prune.kernels.triton",
}
UNITS = 16  # the two compiled backends have blocks of multiples of this
DTYPES = {
    "llvm": (torch.float32, torch.bfloat16),
    "triton": (torch.float32, torch.bfloat16, torch.float16),
}

# Density from which a dense product is as fast, by the shorter side of a block: the largest entry
# that is not above it. Seen with benchmarks/block_sparse.py on Zen 3 (fp32), Zen 4, and Emerald
# Rapids (`amx`: there MKL's fp32 is faster, too); triton by its arithmetic, for want of such a
# machine. `slow`: where torch has no product of bf16 but a plain loop (no AVX-512), which takes
# several times as long as the kernel with all blocks.
TIES: dict[tuple[str, torch.dtype], dict[int, float]] = {
    ("llvm", torch.float32): {16: 0.9, 32: 1.0},
    ("llvm", torch.bfloat16): {16: 0.6, 32: 0.85},
    ("slow", torch.bfloat16): {16: math.inf},
    ("amx", torch.float32): {16: 0.75, 32: 0.9},
    ("amx", torch.bfloat16): {16: 0.07},
    ("rows", torch.float32): {1: 0.0, 16: 0.25, 32: 0.4, 64: 0.5},
    ("rows", torch.bfloat16): {1: 0.0, 32: 0.1, 64: 0.15},
    ("triton", torch.float32): {16: 0.3, 32: 0.6},
    ("triton", torch.bfloat16): {16: 0.1, 32: 0.15, 64: 0.25},
    ("triton", torch.float16): {16: 0.1, 32: 0.15, 64: 0.25},
}
# Products of two numbers (tokens x inputs x outputs) below which calling a kernel costs more than
# it saves: a tenth of a millisecond of a core; on a GPU an estimate.
FEW = {"cpu": 2**20, "cuda": 2**28}


class Backend(Protocol):
    """A module with the three functions; x, grad: (tokens, features), contiguous or not."""

    def product(self, x: Tensor, values: Tensor, bias: Tensor | None, layout: Layout) -> Tensor: ...

    def transposed(self, grad: Tensor, values: Tensor, layout: Layout) -> Tensor: ...

    def sampled(self, grad: Tensor, x: Tensor, size: tuple[int, int], layout: Layout) -> Tensor: ...


@cache
def load(name: str) -> Backend:
    """Raises KernelError for a name that is none."""
    if name not in HOMES:
        raise KernelError(unknown("backend", name, [AUTO, *HOMES]))
    return cast(Backend, import_module(HOMES[name]))


def installed(name: str) -> bool:
    """Whether the package a backend needs is there."""
    return find_spec({"llvm": "llvmlite", "triton": "triton"}.get(name, "torch")) is not None


def refusal(name: str, device: str, dtype: torch.dtype, size: tuple[int, int]) -> str:
    """Why a backend cannot serve such a layer; empty if it can. size: a block's (height, width)."""
    if name not in DTYPES:
        return "" if name in HOMES else unknown("backend", name, [AUTO, *HOMES])
    home, package = {"llvm": ("cpu", "prune[cpu]"), "triton": ("cuda", "triton")}[name]
    if device != home:
        return f"works on {home}, not on {device}"
    if dtype not in DTYPES[name]:
        return f"has {', '.join(map(_short, DTYPES[name]))}, not {_short(dtype)}"
    if any(units % UNITS for units in size):
        return f"has blocks of multiples of {UNITS}, not {size[0]}x{size[1]}"
    if not installed(name):
        return f"needs a package: pip install '{package}'"
    return _trouble() if name == "llvm" else ""


def _trouble() -> str:
    from prune.kernels.llvm.machine import trouble

    return f"makes {why}" if (why := trouble()) else ""


def check(name: str, device: str, dtype: torch.dtype, size: tuple[int, int]) -> None:
    """Raises KernelError, with the backends that would serve, if `name` cannot."""
    if name != AUTO and (why := refusal(name, device, dtype, size)):
        others = [other for other in HOMES if not refusal(other, device, dtype, size)]
        raise KernelError(f"the {name} backend {why} (these serve: {', '.join([AUTO, *others])})")


@lru_cache(maxsize=4096)
def choose(
    name: str, device: str, dtype: torch.dtype, size: tuple[int, int], density: float
) -> str:
    """The backend to use: `name`, or for "auto" the fastest. Raises KernelError."""
    if name != AUTO:
        check(name, device, dtype, size)
        return name
    best = fastest(device, dtype, size)
    # Making a dense matrix for each product costs more than a kernel loses, but not than `rows`.
    return DENSE if best == "rows" and not worth_it(device, dtype, size, density) else best


def worth_it(device: str, dtype: torch.dtype, size: tuple[int, int], density: float) -> bool:
    """Whether a layer of this density is faster than the dense one, whose matrix is there."""
    best = fastest(device, dtype, size)
    return best != DENSE and density < tie(best, dtype, size)


@lru_cache(maxsize=4096)
def fastest(device: str, dtype: torch.dtype, size: tuple[int, int]) -> str:
    """The backend for a layer that is sparse enough for one."""
    if device == "cuda" and not refusal("triton", device, dtype, size):
        return "triton"
    if device != "cpu":
        return DENSE
    if not refusal("llvm", device, dtype, size) and _vectors():
        return "llvm"
    return "rows"


def tie(name: str, dtype: torch.dtype, size: tuple[int, int]) -> float:
    """The density from which a dense product is at least as fast as backend `name`."""
    if name == "llvm":
        from prune.kernels.llvm.machine import host

        loops = dtype == torch.bfloat16 and not _multiplies_bf16()
        name = "amx" if host().amx else "slow" if loops else name
    table = TIES.get((name, dtype), {})
    return max((density for side, density in table.items() if side <= min(size)), default=0.0)


@cache
def _multiplies_bf16() -> bool:
    """Whether torch has a dense product of bf16 for this processor: oneDNN's."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there and torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def _vectors() -> bool:
    """Whether the processor has vectors worth a kernel; says so once if it has not."""
    from prune.kernels.llvm.machine import host

    if host().lanes < 8:
        warnings.warn(
            "this processor has neither AVX-512 nor AVX2: block-sparse layers use the rows backend",
            RuntimeWarning,
            stacklevel=2,
        )
    return host().lanes >= 8


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
