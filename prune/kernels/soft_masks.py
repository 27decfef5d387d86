"""Masks that are numbers, made and differentiated in one pass over the scores, for a CPU.

All return False where they cannot serve (prune/kernels/masking.py says when); nothing is done then.
"""

from functools import cache

import torch
from torch import Tensor

from prune.kernels.llvm import scores_ir
from prune.kernels.llvm.code import Code, team_size
from prune.kernels.llvm.machine import host, usable
from prune.kernels.llvm.vectors import LANES, bits
from prune.kernels.masking import ALIGNED, SMALL, ready

Patterns = tuple[tuple[int, ...], ...]


def concrete(scores: Tensor, levels: Tensor, left: float, right: float, out: Tensor) -> bool:
    """The hard concrete mask of temperature 2/3, stretched to [left, right].

    levels: int16, uniform, of the shape of `scores`; `scores_ir.concrete` says what they mean.
    """
    if levels.dtype != torch.int16 or not levels.is_contiguous() or scores.shape != levels.shape:
        return False
    if scores.shape != out.shape or not _serves(scores.numel(), scores, out):
        return False
    places = {"scores": scores.data_ptr(), "levels": levels.data_ptr(), "out": out.data_ptr()}
    _concrete(left, right)(team_size(), **places, count=scores.numel())
    return True


def softmax(scores: Tensor, temperature: float, patterns: Patterns, out: Tensor) -> bool:
    """M = softmax(T S) @ patterns. scores: (patterns, R, C / 4), out: (R, C)."""
    if not _serves(scores[0].numel(), *scores, out) or out.numel() != 4 * scores[0].numel():
        return False
    _softmax(patterns)(team_size(), out=out.data_ptr(), **_given(scores, temperature))
    return True


def softmax_back(
    scores: Tensor, temperature: float, patterns: Patterns, gradient: Tensor, out: Tensor
) -> bool:
    """dL/dM (R, C) -> dL/dS, of the shape and order of `scores`: (patterns, R, C / 4)."""
    if out.shape != scores.shape or out.stride() != scores.stride():
        return False
    if any(plane.data_ptr() % ALIGNED for plane in out):
        return False
    if not _serves(scores[0].numel(), *scores, *out, gradient):
        return False
    places = {"gradient": gradient.data_ptr(), "out": out.data_ptr()}
    _softmax_back(patterns)(team_size(), **places, **_given(scores, temperature))
    return True


def _serves(count: int, *tensors: Tensor) -> bool:
    return count >= SMALL // 4 and count % LANES == 0 and all(map(ready, tensors)) and usable()


def _given(scores: Tensor, temperature: float) -> dict[str, int]:
    return {
        "scores": scores.data_ptr(),
        "stride": scores.stride(0),
        "count": scores[0].numel(),
        "temperature": bits(temperature),
    }


@cache
def _concrete(left: float, right: float) -> Code:
    return Code(scores_ir.module(scores_ir.concrete(left, right)), scores_ir.CONCRETE, host())


@cache
def _softmax(patterns: Patterns) -> Code:
    return Code(scores_ir.module(scores_ir.softmax(patterns)), scores_ir.SOFTMAX, host())


@cache
def _softmax_back(patterns: Patterns) -> Code:
    text = scores_ir.module(scores_ir.softmax_back(patterns))
    return Code(text, scores_ir.SOFTMAX_BACK, host())
