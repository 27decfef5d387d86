"""The passes over a matrix that masks are made and applied with, for a CPU.

torch goes through memory once an operation, and reads whatever it is going to overwrite. Here
machine code reads what it needs once and writes past the caches. Where it cannot serve, the caller
does the same with torch: on a GPU, for other types than fp32, for small matrices, for sides that
are no multiple of 16, and without llvmlite (the extra `cpu`).
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from prune.kernels.later import Later
from prune.kernels.llvm import masking_ir
from prune.kernels.llvm.code import Code, team_size
from prune.kernels.llvm.machine import host, usable
from prune.kernels.llvm.masking_ir import Pass
from prune.kernels.llvm.vectors import LANES, bits

SMALL = 1 << 16  # weights: below, a call costs as much as it saves
HELD = 64  # weights: masks of smaller groups are too large to be held until later
ALIGNED = 64  # bytes: what streams past the caches is written in whole lines


@dataclass(frozen=True)
class Push:
    """From dL/dM of single weights to dL/dS: plus rate * d sigmoid(S - shift)/dS."""

    scores: Tensor
    rate: float
    shift: float


def scale(
    weights: Tensor,
    mask: Tensor,
    size: tuple[int, int],
    out: Tensor,
    later: Later | None = None,
) -> bool:
    """out = M * W; False if nothing was done.

    weights, out: (out, in), perhaps the same. mask: (R, C), fp32 or bytes of 0 and 1, one number a
    group of `size` weights. later: where the pass may be left to be made, if given; of small groups
    it is made at once.
    """
    if _lies_on_its_side(weights):
        return scale(weights.T, mask.T, size[::-1], out.T, later)
    if not _serves(weights, mask, size, out):
        return False
    if 1 < size[1] < LANES:
        return scale(weights, mask.repeat_interleave(size[1], 1), (size[0], 1), out, later)
    apart = out.data_ptr() != weights.data_ptr()
    _run(False, weights, weights, mask, size, out, None, stream=apart, later=later)
    return True


def pull(
    gradient: Tensor,
    weights: Tensor,
    mask: Tensor,
    size: tuple[int, int],
    out: Tensor,
    push: Push | None = None,
    later: Later | None = None,
) -> Tensor | None:
    """The sum of gradient * weights in each group, and gradient *= M; None if nothing was done.

    All but the mask are (out, in). The sums are (R, C); those of single weights lie in `out`, which
    is overwritten, and are pushed on to the scores, of the shape and order of the weights. later:
    as in `scale`.
    """
    if _lies_on_its_side(weights):
        if push is not None:
            return None
        sums = pull(gradient.T, weights.T, mask.T, size[::-1], out.T, later=later)
        return None if sums is None else sums.T
    if not _serves(weights, mask, size, gradient, out, *([push.scores] if push else [])):
        return None
    if 1 < size[1] < LANES:
        wide = mask.repeat_interleave(size[1], 1)
        sums = pull(gradient, weights, wide, (size[0], 1), out)
        return None if sums is None else sums.view(*mask.shape, size[1]).sum(2)
    single = size == (1, 1)
    sums = out if single else torch.zeros(mask.shape)
    _run(True, gradient, weights, mask, size, sums, push, stream=single, later=later)
    return sums


def sizes(weights: Tensor, size: tuple[int, int]) -> Tensor | None:
    """The sum of |W| in each group; None if nothing was done, as of single weights.

    weights: (out, in); the sums are (R, C), one of each `size` weights.
    """
    if _lies_on_its_side(weights):
        sums = sizes(weights.T, size[::-1])
        return None if sums is None else sums.T
    if size == (1, 1) or not ready(weights):
        return None
    rows, columns = weights.shape
    if 1 < size[1] < LANES:
        sums = sizes(weights, (size[0], 1))
        return None if sums is None else sums.view(-1, columns // size[1], size[1]).sum(2)
    sums = torch.zeros(rows // size[0], columns // size[1])
    if not _serves(weights, sums, size):
        return None
    _run(True, weights, weights, sums, size, sums, None, stream=False, sizes=True)
    return sums


def _lies_on_its_side(weights: Tensor) -> bool:
    """Whether the rows of its transpose are dense, and its own are not."""
    return weights.T.is_contiguous() and not weights.is_contiguous()


def _serves(weights: Tensor, mask: Tensor, size: tuple[int, int], *others: Tensor) -> bool:
    """Whether all of it is as the machine code takes it to be."""
    rows, columns = weights.shape
    return (
        (mask.shape[0] * size[0], mask.shape[1] * size[1]) == (rows, columns)
        and weights.numel() >= SMALL
        and columns % LANES == 0
        and (size[1] < LANES or size[1] % LANES == 0)
        and mask.dtype in (torch.uint8, torch.float32)
        and mask.device.type == "cpu"
        and all(x.shape == weights.shape and ready(x) for x in (weights, *others))
        and usable()
    )


def ready(x: Tensor) -> bool:
    """Dense fp32 in the memory of a CPU."""
    return x.dtype == torch.float32 and x.is_contiguous() and x.device.type == "cpu"


def _run(
    pulls: bool,
    gradient: Tensor,
    weights: Tensor,
    mask: Tensor,
    size: tuple[int, int],
    out: Tensor,
    push: Push | None,
    stream: bool,
    sizes: bool = False,
    later: Later | None = None,
) -> None:
    mask = mask.contiguous()
    code = _code(
        Pass(
            pull=pulls,
            wide=size[1] > 1,
            tall=size[0] > 1,
            floats=mask.dtype == torch.float32,
            stream=stream and out.data_ptr() % ALIGNED == 0,
            sizes=sizes,
            shift=push.shift if push and push.rate else None,
        )
    )
    call = code.prepared(
        team_size(),
        gradient=gradient.data_ptr(),
        weights=weights.data_ptr(),
        mask=mask.data_ptr(),
        out=out.data_ptr(),
        scores=push.scores.data_ptr() if push else 0,
        rate=bits(push.rate) if push else 0,
        rows=weights.shape[0],
        columns=weights.shape[1],
        height=size[0],
        width=size[1],
    )
    if later is None or mask.numel() * HELD > weights.numel():
        call()
    else:
        later.add(call, gradient, weights, mask, out)


@cache
def _code(kind: Pass) -> Code:
    return Code(masking_ir.module(kind), masking_ir.ARGUMENTS, host())
