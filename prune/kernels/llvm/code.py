"""Machine code of one module of IR, and how it is called: in the threads of torch's own OpenMP."""

import ctypes
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch

from prune.kernels.llvm.machine import Machine, compiled, openmp


class Code:
    """A module that has `work` and `team` (work.py says what they are), compiled."""

    def __init__(self, text: str, arguments: Iterable[str], machine: Machine) -> None:
        """arguments: the names of those that `work` takes, in order."""
        self.names = tuple(arguments)
        self.engine: Any = compiled(text, machine)
        self.team: int = self.address("team")
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self.work = ctypes.CFUNCTYPE(None, pointer, number, number)(self.address("work"))
        self.buffer = number * len(self.names)

    def address(self, function: str) -> int:
        return int(self.engine.get_function_address(function))

    def __call__(self, threads: int, **arguments: int) -> None:
        self.prepared(threads, **arguments)()

    def prepared(self, threads: int, **arguments: int) -> Callable[[], None]:
        """The call with these arguments, to be made at any time."""
        values = self.buffer(*[arguments[name] for name in self.names])

        def call() -> None:
            if threads > 1:
                gnu_parallel()(self.team, ctypes.addressof(values), threads, 0)
            else:
                self.work(ctypes.addressof(values), 0, 1)

        return call


@cache
def gnu_parallel() -> Callable[[int, int, int, int], None]:
    kinds = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    return ctypes.CFUNCTYPE(None, *kinds)(openmp()["GOMP_parallel"])


def team_size() -> int:
    """As many as torch uses; one where its OpenMP cannot be found."""
    return torch.get_num_threads() if openmp() else 1
