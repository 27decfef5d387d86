"""The two passes over a matrix that masks are applied with, in machine code for a CPU.

torch has to read and write memory once an operation, and reads whatever it is going to overwrite.
Here each pass reads what it needs once and writes past the caches. Where it cannot serve, the
caller does the same with torch: on a GPU, for other types, for groups of 2 to 15 columns, for small
matrices, and without llvmlite (the extra `cpu`).
"""

from functools import cache

import torch
from torch import Tensor

from prune.kernels.llvm import masking_ir
from prune.kernels.llvm.code import Code, team_size
from prune.kernels.llvm.machine import host, installed
from prune.kernels.llvm.masking_ir import LANES, Pass

SMALL = 1 << 16  # weights: below, a call costs as much as it saves
ALIGNED = 64  # bytes: what streams past the caches is written in whole lines


def scale(weights: Tensor, mask: Tensor, size: tuple[int, int], out: Tensor) -> bool:
    """out = M * W; False if nothing was done.

    weights, out: (out, in), perhaps the same. mask: (R, C), fp32 or bytes of 0 and 1, one number a
    group of `size` weights.
    """
    if weights.T.is_contiguous() and out.T.is_contiguous() and not weights.is_contiguous():
        return scale(weights.T, mask.T, size[::-1], out.T)
    if not _serves(weights, out, mask, size):
        return False
    stream = out.data_ptr() != weights.data_ptr() and out.data_ptr() % ALIGNED == 0
    _run(False, weights, weights, mask, out, size, stream)
    return True


def pull(
    gradient: Tensor, weights: Tensor, mask: Tensor, size: tuple[int, int], out: Tensor
) -> Tensor | None:
    """The sum of gradient * weights in each group, and gradient *= M; None if nothing was done.

    All but the mask are (out, in). The sums are (R, C); those of single weights lie in `out`, which
    is overwritten.
    """
    if weights.T.is_contiguous() and not weights.is_contiguous():
        sums = pull(gradient.T, weights.T, mask.T, size[::-1], out.T)
        return None if sums is None else sums.T
    if not (_serves(weights, out, mask, size) and _serves(gradient, out, mask, size)):
        return None
    single = size == (1, 1)
    sums = out if single else torch.zeros(mask.shape)
    _run(True, gradient, weights, mask, sums, size, single and out.data_ptr() % ALIGNED == 0)
    return sums


def _serves(weights: Tensor, out: Tensor, mask: Tensor, size: tuple[int, int]) -> bool:
    """Whether all of it is as the machine code takes it to be."""
    same = weights.shape == out.shape == (mask.shape[0] * size[0], mask.shape[1] * size[1])
    return (
        same
        and weights.numel() >= SMALL
        and (size[1] % LANES == 0 or (size[1] == 1 and weights.shape[1] % LANES == 0))
        and mask.dtype in (torch.uint8, torch.float32)
        and all(m.dtype == torch.float32 and m.is_contiguous() for m in (weights, out))
        and all(m.device.type == "cpu" for m in (weights, out, mask))
        and installed()
    )


def _run(
    pulls: bool,
    gradient: Tensor,
    weights: Tensor,
    mask: Tensor,
    out: Tensor,
    size: tuple[int, int],
    stream: bool,
) -> None:
    mask = mask.contiguous()
    kind = Pass(pulls, size[1] > 1, size[0] > 1, mask.dtype == torch.float32, stream)
    _code(kind)(
        team_size(),
        gradient=gradient.data_ptr(),
        weights=weights.data_ptr(),
        mask=mask.data_ptr(),
        out=out.data_ptr(),
        rows=weights.shape[0],
        columns=weights.shape[1],
        height=size[0],
        width=size[1],
    )


@cache
def _code(kind: Pass) -> Code:
    return Code(masking_ir.module(kind), masking_ir.ARGUMENTS, host())
