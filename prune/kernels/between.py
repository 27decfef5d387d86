"""Which numbers are above a bracket, and those inside of it: in one pass over memory, for a CPU.

numpy makes several of it. Where machine code cannot serve, there is None.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prune.kernels.llvm import between_ir
from prune.kernels.llvm.code import Code, team_size
from prune.kernels.llvm.machine import host, usable
from prune.kernels.llvm.vectors import LANES, bits
from prune.kernels.masking import SMALL, ready

ROOM = 8  # one number in so many may lie inside
# A mask of those above, how many they are, those inside, and where these are.
Split = tuple[NDArray[np.bool_], int, NDArray[Any], NDArray[Any]]


def split(values: Tensor, low: float, high: float) -> Split | None:
    """Of a vector: a mask of those above `high`, how many, those in (low, high], and where.

    The order is kept. None too if there are too many inside.
    """
    count = values.numel()
    if not (ready(values) and SMALL <= count < 2**31 and count % LANES == 0 and usable()):
        return None
    threads = team_size()
    room = count // threads // ROOM
    mask = torch.empty(count, dtype=torch.uint8)
    inside = torch.empty(threads, room)
    places = torch.empty(threads, room, dtype=torch.int32)
    seen = torch.zeros(threads, 2, dtype=torch.int64)
    _code()(
        threads,
        values=values.data_ptr(),
        low=bits(low),
        high=bits(high),
        count=count,
        mask=mask.data_ptr(),
        inside=inside.data_ptr(),
        places=places.data_ptr(),
        room=room,
        seen=seen.data_ptr(),
    )
    above, found = seen.T.tolist()
    if max(found) > room - LANES:  # whole vectors are written
        return None
    collected = (_joined(parts, found) for parts in (inside, places))
    return mask.numpy().view(np.bool_), sum(above), *collected


def _joined(parts: Tensor, lengths: list[int]) -> NDArray[Any]:
    pieces = [part[:length] for part, length in zip(parts.numpy(), lengths, strict=True)]
    return np.concatenate(pieces)


@cache
def _code() -> Code:
    machine = host()
    return Code(between_ir.module(machine.lanes == LANES), between_ir.ARGUMENTS, machine)
