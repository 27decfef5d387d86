"""The checks that come before any pointer is taken, of tensors and of block lists."""

import ctypes
import threading
from functools import cache
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from prune.errors import KernelError
from prune.kernels.layout import Layout
from prune.kernels.llvm.code import Code
from prune.kernels.llvm.machine import Machine
from prune.kernels.llvm.spec import Spec

CHUNK = 96  # tokens copied at a time, about
DTYPES = (torch.float32, torch.bfloat16)
UNITS = 16  # blocks are multiples of this
ASTRAY = "the block index points outside of the matrix: make the layer again"
_kept = threading.local()


class Lists(NamedTuple):
    """Which blocks each block row has (or each column, for the transposed product): addresses."""

    start: int  # (lists + 1,)
    lists: int
    other: int  # (live,) block columns
    others: int
    order: int  # (live,) where each block lies; 0: as they are listed
    other_start: int  # (others + 1,) of the lists the other way round: what nobody reads
    live: int


def by_rows(layout: Layout) -> Lists:
    base, rows, columns, live = _index(layout)
    other = base + 4 * (rows + 1)
    return Lists(base, rows, other, columns, 0, other + 4 * live, live)


def by_columns(layout: Layout) -> Lists:
    base, rows, columns, live = _index(layout)
    start = base + 4 * (rows + 1 + live)
    other = start + 4 * (columns + 1)
    return Lists(start, columns, other, rows, other + 4 * live, base, live)


def _index(layout: Layout) -> tuple[int, int, int, int]:
    """Its address, and how many block rows, columns and blocks it tells of."""
    index, rows, columns, live = layout.index, layout.rows, layout.columns, layout.live
    on_cpu(index)
    if index.dtype != torch.int32 or index.dim() != 1 or not index.is_contiguous():
        raise KernelError(f"the block index is {index.dtype}; it must be flat int32")
    if min(rows, columns) < 1 or live < 0 or index.numel() != rows + columns + 2 + 3 * live:
        raise KernelError(ASTRAY)
    return index.data_ptr(), rows, columns, live


class Kernel(Code):
    """The machine code of one Spec."""

    def __init__(self, source: ModuleType, spec: Spec) -> None:
        super().__init__(source.module(spec), source.ARGUMENTS, spec.machine)
        self.spec = spec
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        kinds = [*[pointer] * 3, *[number] * 3, pointer]
        self.read = ctypes.CFUNCTYPE(None, *kinds)(self.address("check"))

    def check(self, lists: Lists, live: int) -> None:
        """Raises KernelError if a list names a block that is not there, of `live` ones."""
        bad = ctypes.c_int64(1)
        if lists.live == live:
            counts = lists.lists, lists.others, live
            bad_at = ctypes.addressof(bad)
            self.read(lists.start, lists.other, lists.order or None, *counts, bad_at)
        if bad.value:
            raise KernelError(ASTRAY)


@cache
def kernel(source: ModuleType, depth: int, size: int, bf16: bool, machine: Machine) -> Kernel:
    """Compiled once a process, in a fraction of a second."""
    return Kernel(source, Spec(depth, size, bf16, machine))


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
    if kept is None or kept.numel() < count:
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
