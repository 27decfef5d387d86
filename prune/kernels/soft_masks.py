"""Masks that are numbers, made where they are used: one pass over scores and weights, for a CPU.

What they do is said in prune/kernels/llvm/ concrete_ir.py and fours_ir.py. All give None where they
cannot serve (prune/kernels/masking.py says when), and nothing is done then. All tensors of a matrix
are (out, in). An offset is subtracted from all scores; it makes no difference to a softmax.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import torch
from torch import Tensor

from prune.kernels.llvm import concrete_ir, fours_ir, scores_ir
from prune.kernels.llvm.code import Code, team_size
from prune.kernels.llvm.concrete_ir import Concrete
from prune.kernels.llvm.fours_ir import CHUNK, Fours, Patterns
from prune.kernels.llvm.machine import host, usable
from prune.kernels.llvm.vectors import LANES, bits
from prune.kernels.masking import ALIGNED, SMALL, ready

# Of what a pass may be given, what most are not.
UNUSED = (
    "weights", "gradient", "highest", "beside", "sums", "sums_stride", "height", "width",
)  # fmt: skip


class Beside:
    """Another mask of the same matrix, a number for each group of `size`; `pull` fills `sums`."""

    def __init__(self, mask: Tensor, size: tuple[int, int]) -> None:
        """mask: (R, C)."""
        self.mask, self.size = mask, size
        self.wide = size[1] % CHUNK == 0
        # A group of one row is one thread's; to others each thread adds a part.
        self.parts = 1 if size[0] == 1 else team_size()
        self.numbers = self.sums = torch.empty(0)

    def fits(self, matrix: Tensor) -> bool:
        sides = zip(self.mask.shape, self.size, strict=True)
        return self.mask.is_cpu and tuple(n * size for n, size in sides) == matrix.shape

    def arguments(self) -> dict[str, int]:
        """What the passes are told of it; the sums start at zero."""
        numbers = self.mask.float()
        wide = numbers if self.wide else numbers.repeat_interleave(self.size[1], 1)
        self.numbers = wide.contiguous()  # held, as the passes get its address
        self.sums = torch.zeros(self.parts, *self.numbers.shape)
        return {
            "beside": self.numbers.data_ptr(),
            "sums": self.sums.data_ptr(),
            "sums_stride": self.numbers.numel() if self.parts > 1 else 0,
            "height": self.size[0],
            "width": self.size[1],
        }

    def add_up(self) -> None:
        """The sums of threads and columns become those of groups, (R, C)."""
        total = self.sums[0] if self.parts == 1 else self.sums.sum(0)
        same = total.shape == self.mask.shape
        self.sums = total if same else total.view(*self.mask.shape, -1).sum(2)


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
    places = {"scores": scores, "out": out}
    _run(fours_ir.mask, Fours(how), out, places, temperature)
    return out


def softmax_scale(
    how: Patterns,
    scores: Tensor,
    temperature: float,
    weights: Tensor,
    out: Tensor,
    beside: Beside | None = None,
) -> Tensor | None:
    """out = M * W, times the mask beside it; which is returned."""
    if not (_like(weights, out) and fits(scores, weights.shape) and _aligned(out)):
        return None
    if beside and not beside.fits(weights):
        return None
    places = {"scores": scores, "weights": weights, "out": out}
    kind, more = _with(how, beside)
    _run(fours_ir.scale, kind, out, places, temperature, more=more)
    return out


def softmax_back(
    how: Patterns, scores: Tensor, temperature: float, gradient: Tensor
) -> Tensor | None:
    """dL/dM -> dL/dS, of the shape of `scores`."""
    if not (_like(gradient) and fits(scores, gradient.shape)):
        return None
    out = torch.empty_like(scores)
    places = {"scores": scores, "gradient": gradient, "out": out}
    _run(fours_ir.back, Fours(how), gradient, places, temperature)
    return out


def softmax_pull(
    how: Patterns,
    scores: Tensor,
    temperature: float,
    gradient: Tensor,
    weights: Tensor,
    beside: Beside | None = None,
) -> Tensor | None:
    """dL/dS, of the shape of `scores`; gradient *= M, and the mask beside it gets its `sums`."""
    if not (_like(weights, gradient) and fits(scores, weights.shape)):
        return None
    if beside and not beside.fits(weights):
        return None
    out = torch.empty_like(scores)
    places = {"scores": scores, "gradient": gradient, "out": out, "weights": weights}
    kind, more = _with(how, beside)
    _run(fours_ir.pull, kind, weights, places, temperature, more=more)
    if beside:
        beside.add_up()
    return out


def _with(how: Patterns, beside: Beside | None) -> tuple[Fours, dict[str, int]]:
    if beside is None:
        return Fours(how), {}
    return Fours(how, True, beside.wide), beside.arguments()


def _like(matrix: Tensor, *others: Tensor) -> bool:
    fits = matrix.numel() >= SMALL and matrix.shape[1] % LANES == 0
    same = all(x.shape == matrix.shape and ready(x) for x in (matrix, *others))
    return fits and same and usable()


def _aligned(x: Tensor) -> bool:
    return x.data_ptr() % ALIGNED == 0


def _run(
    source: Callable[[Concrete], str] | Callable[[Fours], str],
    how: Concrete | Fours,
    matrix: Tensor,
    places: dict[str, Tensor],
    factor: float = 0.0,
    offset: float = 0.0,
    words: tuple[int, ...] = (0, 0),
    more: Mapping[str, int] = MappingProxyType({}),
) -> None:
    values = dict.fromkeys(UNUSED, 0) | dict(more)
    values |= {name: tensor.data_ptr() for name, tensor in places.items()}
    _code(source, how)(
        team_size(),
        **values,
        offset=bits(offset),
        word=words[0],
        other=words[1],
        factor=bits(factor),
        stride=places["scores"].stride(0),
        rows=matrix.shape[0],
        columns=matrix.shape[1],
    )


@cache
def _code(source: Callable[..., str], how: Concrete | Fours) -> Code:
    return Code(scores_ir.module(source(how)), scores_ir.ARGUMENTS, host())
