"""Which numbers are above a cut, and how many: one pass over them, for a CPU."""

from functools import cache

import torch
from torch import Tensor

from prune.kernels.llvm import above_ir
from prune.kernels.llvm.code import Code, team_size
from prune.kernels.llvm.machine import host, usable
from prune.kernels.llvm.vectors import LANES, bits
from prune.kernels.masking import SMALL, ready


def above(values: Tensor, cut: float) -> tuple[Tensor, int] | None:
    """Bytes, 1 where a value is above `cut` (rounded to fp32), else 0, and their sum.

    None where it cannot serve: prune/kernels/masking.py says when.
    """
    if values.numel() < SMALL or values.numel() % LANES or not (ready(values) and usable()):
        return None
    mask = torch.empty_like(values, dtype=torch.uint8)
    counts = torch.zeros(team_size(), dtype=torch.int64)
    _code()(
        len(counts),
        values=values.data_ptr(),
        cut=bits(cut),
        mask=mask.data_ptr(),
        counts=counts.data_ptr(),
        size=values.numel(),
    )
    return mask, int(counts.sum())


@cache
def _code() -> Code:
    return Code(above_ir.module(), above_ir.ARGUMENTS, host())
