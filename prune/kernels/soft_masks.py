"""Masks that are numbers, made where they are used: one pass over scores and weights, for a CPU.

What they do is said in prune/kernels/llvm/ concrete_ir.py and fours_ir.py. All give None where they
cannot serve (prune/kernels/masking.py says when), and nothing is done then. All tensors of a matrix
are (out, in). An offset is subtracted from all scores; it makes no difference to a softmax.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from prune.kernels.llvm import concrete_ir, fours_ir, scores_ir
from prune.kernels.llvm.code import Code, team_size
from prune.kernels.llvm.concrete_ir import Concrete
from prune.kernels.llvm.fours_ir import Patterns
from prune.kernels.llvm.machine import host, usable
from prune.kernels.llvm.vectors import LANES, bits
from prune.kernels.masking import ALIGNED, SMALL, ready


def concrete_scale(
    how: Concrete,
    scores: Tensor,
    offset: float,
    words: tuple[int, ...],
    weights: Tensor,
    out: Tensor,
) -> Tensor | None:
    """out = M * W; returns the largest M of each row, (out,). words: what the noise depends on."""
    if not (_like(weights, scores, out) and _aligned(out)):
        return None
    highest = torch.empty(len(weights), LANES)
    places = {"scores": scores, "weights": weights, "out": out}
    places["highest"] = highest
    _run(concrete_ir.scale, how, weights, places, 0.0, offset, words)
    return highest.amax(1)


def concrete_pull(
    how: Concrete,
    scores: Tensor,
    offset: float,
    words: tuple[int, ...],
    gradient: Tensor,
    weights: Tensor,
    rate: float,
    out: Tensor,
) -> Tensor | None:
    """The gradient of the scores, in `out`; gradient *= M."""
    if not (_like(weights, scores, gradient, out) and _aligned(out)):
        return None
    places = {"scores": scores, "gradient": gradient, "weights": weights, "out": out}
    _run(concrete_ir.pull, how, weights, places, rate, offset, words)
    return out


def fits(scores: Tensor, shape: torch.Size) -> bool:
    """Whether there is a plane of scores a pattern for a matrix of `shape`, ready for a softmax."""
    rows, columns = shape
    sides = columns % (4 * LANES) == 0 and rows * columns >= SMALL
    planes = scores.shape[1:] == (rows, columns // 4)  # each begins at the start of a line
    return sides and planes and ready(scores) and _aligned(scores) and usable()


def softmax(how: Patterns, scores: Tensor, temperature: float, out: Tensor) -> Tensor | None:
    """M, in `out`. scores: (patterns, out, in / 4)."""
    if not (_like(out) and fits(scores, out.shape)):
        return None
    _run(fours_ir.mask, how, out, {"scores": scores, "out": out}, factor=temperature)
    return out


def softmax_scale(
    how: Patterns, scores: Tensor, temperature: float, weights: Tensor, out: Tensor
) -> Tensor | None:
    """out = M * W, which is returned."""
    if not (_like(weights, out) and fits(scores, weights.shape) and _aligned(out)):
        return None
    places = {"scores": scores, "weights": weights, "out": out}
    _run(fours_ir.scale, how, weights, places, factor=temperature)
    return out


def softmax_back(
    how: Patterns, scores: Tensor, temperature: float, gradient: Tensor
) -> Tensor | None:
    """dL/dM -> dL/dS, of the shape of `scores`."""
    if not (_like(gradient) and fits(scores, gradient.shape)):
        return None
    out = torch.empty_like(scores)
    places = {"scores": scores, "gradient": gradient, "out": out}
    _run(fours_ir.back, how, gradient, places, factor=temperature)
    return out


def softmax_pull(
    how: Patterns,
    scores: Tensor,
    temperature: float,
    gradient: Tensor,
    weights: Tensor,
) -> Tensor | None:
    """dL/dS, of the shape of `scores`; gradient *= M."""
    if not (_like(weights, gradient) and fits(scores, weights.shape)):
        return None
    out = torch.empty_like(scores)
    places = {"scores": scores, "gradient": gradient, "weights": weights, "out": out}
    _run(fours_ir.pull, how, weights, places, factor=temperature)
    return out


def _like(matrix: Tensor, *others: Tensor) -> bool:
    fits = matrix.numel() >= SMALL and matrix.shape[1] % LANES == 0
    same = all(x.shape == matrix.shape and ready(x) for x in (matrix, *others))
    return fits and same and usable()


def _aligned(x: Tensor) -> bool:
    return x.data_ptr() % ALIGNED == 0


def _run(
    source: Callable[[Concrete], str] | Callable[[Patterns], str],
    how: Concrete | Patterns,
    matrix: Tensor,
    places: dict[str, Tensor],
    factor: float = 0.0,
    offset: float = 0.0,
    words: tuple[int, ...] = (0, 0),
) -> None:
    addresses = dict.fromkeys(("weights", "gradient", "highest"), 0)
    addresses |= {name: tensor.data_ptr() for name, tensor in places.items()}
    _code(source, how)(
        team_size(),
        **addresses,
        offset=bits(offset),
        word=words[0],
        other=words[1],
        factor=bits(factor),
        stride=places["scores"].stride(0),
        rows=matrix.shape[0],
        columns=matrix.shape[1],
    )


@cache
def _code(source: Callable[..., str], how: Concrete | Patterns) -> Code:
    return Code(scores_ir.module(source(how)), scores_ir.ARGUMENTS, host())
