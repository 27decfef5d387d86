"""A compiled kernel and how it is called; the checks that come before any pointer is taken."""

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prune.errors import KernelError
from prune.kernels.llvm.machine import compiled, openmp
from prune.kernels.llvm.spec import Spec

CHUNK = 96  # tokens copied at a time, about: their inputs should stay in the second-level cache
DTYPES = (torch.float32, torch.bfloat16)
UNITS = 16  # blocks are multiples of this
_kept = threading.local()


class Lists(NamedTuple):
    """Which blocks each block row has (or each column, for the transposed product)."""

    start: Tensor  # (lists + 1,)
    other: Tensor  # (live,) block columns
    order: Tensor | None  # (live,) where each block lies; None: as they are listed
    other_start: Tensor  # (others + 1,) of the lists the other way round: what nobody reads


class Kernel:
    """The machine code of one Spec."""

    def __init__(self, source: ModuleType, spec: Spec) -> None:
        self.spec = spec
        self.names = tuple(source.ARGUMENTS)
        self.engine: Any = compiled(source.module(spec), spec.machine)
        address = self.engine.get_function_address
        self.team: int = address("team")
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self.work = ctypes.CFUNCTYPE(None, pointer, number, number)(address("work"))
        kinds = [*[pointer] * 3, *[number] * 3, pointer]
        self.read = ctypes.CFUNCTYPE(None, *kinds)(address("check"))
        self.buffer = ctypes.c_int64 * len(self.names)

    def check(self, lists: Lists, live: int) -> None:
        """Raises KernelError if a list names a block that is not there."""
        start, other, order, other_start = lists
        for tensor in (t for t in lists if t is not None):
            on_cpu(tensor)
            if tensor.dtype != torch.int32 or tensor.dim() != 1 or not tensor.is_contiguous():
                raise KernelError(f"the block index is {tensor.dtype}; it must be flat int32")
        sound = len(other) == live and (order is None or len(order) == live) and len(start) > 0
        bad = ctypes.c_int64(1)
        if sound and len(other_start) > 0:
            where = [t.data_ptr() if t is not None else None for t in (start, other, order)]
            counts = (len(start) - 1, len(other_start) - 1, live)
            self.read(*where, *counts, ctypes.addressof(bad))
        if bad.value:
            raise KernelError("the block index points outside of the matrix: make the layer again")

    def __call__(self, threads: int, **arguments: int) -> None:
        values = self.buffer(*[arguments[name] for name in self.names])
        if threads > 1:
            gnu_parallel()(self.team, ctypes.addressof(values), threads, 0)
        else:
            self.work(ctypes.addressof(values), 0, 1)


@cache
def kernel(source: ModuleType, spec: Spec) -> Kernel:
    """Compiled once a process, in a fraction of a second."""
    return Kernel(source, spec)


@cache
def gnu_parallel() -> Callable[[int, int, int, int], None]:
    kinds = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    return ctypes.CFUNCTYPE(None, *kinds)(openmp()["GOMP_parallel"])


def threads() -> int:
    """As many as torch uses; one where its OpenMP cannot be found."""
    return torch.get_num_threads() if openmp() else 1


def chunks(tokens: int, threads: int, tile: int) -> tuple[int, int]:
    """Tokens of a chunk, whole tiles, about CHUNK at most; and how many: the same for each thread.

    Of few tokens there is one chunk, and the threads share its block rows instead.
    """
    count = threads * -(-tokens // (CHUNK * threads)) if tokens >= threads * tile else 1
    size = tile * -(-tokens // (tile * count))
    return size, -(-tokens // size)


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """All memory that a kernel writes comes from here."""
    return torch.empty(shape, dtype=dtype)


def scratch(count: int) -> Tensor:
    """At least `count` bytes, kept from call to call by each thread of Python."""
    kept: Tensor | None = getattr(_kept, "bytes", None)
    if kept is None or len(kept) < count:
        kept = _kept.bytes = empty(count, dtype=torch.uint8)
    return kept


def padded(size: int) -> int:
    """Bytes, rounded up so that threads share no cache line."""
    return -(-size // 128) * 128


def dense_rows(x: Tensor) -> Tensor:
    """Rows anywhere, but each in one piece."""
    return x if x.stride(1) == 1 and x.stride(0) >= 0 else x.contiguous()


def on_cpu(x: Tensor) -> None:
    if x.device.type != "cpu" or x.layout != torch.strided:
        raise KernelError(f"the llvm backend works on the CPU, not on {x.device}: use triton")


def supported(dtype: torch.dtype, size: tuple[int, ...]) -> None:
    if dtype not in DTYPES:
        raise KernelError(
            f"the llvm backend has float32 and bfloat16, not {str(dtype).removeprefix('torch.')}: "
            "use the rows backend"
        )
    if any(units % UNITS or units <= 0 for units in size):
        raise KernelError(
            f"the llvm backend has blocks of multiples of {UNITS}, not "
            f"{'x'.join(map(str, size))}: use the rows backend"
        )


def matrix(name: str, x: Tensor, columns: int, dtype: torch.dtype) -> None:
    """Raises KernelError unless x is (any, columns) of `dtype` on the CPU."""
    on_cpu(x)
    if x.dim() != 2 or x.shape[1] != columns or x.dtype != dtype:
        raise KernelError(f"{name} is {tuple(x.shape)} {x.dtype}, not (tokens, {columns}) {dtype}")


def place(name: str, x: Tensor) -> dict[str, int]:
    """Where a matrix lies: its address, and the bytes from row to row."""
    return {name: x.data_ptr(), f"{name}_stride": x.stride(0) * x.element_size()}
