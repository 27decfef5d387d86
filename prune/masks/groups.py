"""A Tie is one tensor of scores and its mask: the groups that live and die together.

It has a Cut (prune/masks/cuts.py) for each matrix that shares its scores.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from prune.kernels import masking, soft_masks
from prune.masks.algorithms.base import Moment
from prune.masks.bits import Bits
from prune.masks.noise import Noise
from prune.masks.schedule import Ramp

if TYPE_CHECKING:
    from prune.masks.cuts import Cut

OFF = -1000.0  # a dial that nobody turned
PIECE = 1 << 18  # groups of a mask that are worked on at once, on a CPU
FINE = 8  # weights: of smaller groups a byte each would count beside the weights' own memory,
FINE_SOFT = 4 * FINE  # and a number each of these
Kept = Tensor | Bits | None  # None: a soft mask that was not made yet


class Tie:
    """One tensor of scores and the cuts that live and die by it."""

    def __init__(self, name: str, cuts: "list[Cut]") -> None:
        site, weight = cuts[0].site, cuts[0].slot.weight
        self.name = name
        self.cuts = cuts
        self.algorithm = site.algorithm
        self.part = site.part
        self.weight = site.weight
        self.pool = (site.pool or f"\0{name}", site.algorithm)
        self.threshold = self.algorithm.start
        self.offset = 0.0  # scores count as lowered by this much
        self.pressure = 0.0  # the penalty's factor in the next step
        self.pushed = False  # whether what the cut pulled is the gradient of the scores already
        self.key: tuple[int, ...] = (0, 0, 0)  # what the noise of the current step follows from
        # Groups that were cut off, dead ones and live ones: they keep their rank, first or last.
        self.gone: tuple[int, int] = (0, 0)
        ones = weight.new_ones(site.groups)
        self._mask: Kept
        self.again: bool
        self.mask = ones
        self.scores: nn.Parameter | None = None
        if self.algorithm.learned:
            shape = self.algorithm.scores_shape(site.groups)
            self.scores = nn.Parameter(ones.new_full(shape, self.algorithm.initial))

    @property
    def mask(self) -> Tensor:
        """M, one value a group: numbers where the algorithm is soft, else bytes of 0 and 1."""
        if self._mask is None:
            return self._made()
        return self._mask.mask() if isinstance(self._mask, Bits) else self._mask

    @mask.setter
    def mask(self, mask: Tensor) -> None:
        # Bytes are a quarter of the memory, and a product with them hardly takes longer.
        self.kept = mask if self.algorithm.soft else mask.to(torch.uint8)
        self.shape: torch.Size = mask.shape

    @property
    def kept(self) -> Kept:
        """What stands for the mask until the next step."""
        return self._mask

    @kept.setter
    def kept(self, mask: Kept) -> None:
        self._mask = mask
        self.again = False  # whether the mask can be made again from what is there

    def make(self) -> Tensor:
        """The mask, which from now on is kept."""
        if self._mask is None:
            self._mask, self.again = self._made(), True
        return self.mask

    def pack(self) -> None:
        """Until the next step it is only read once: of small groups, it takes less memory.

        A soft mask is made again where it is needed (of single weights, that takes too long);
        another one is bits, on a CPU.
        """
        mask, size = self._mask, min((cut.site.grid.size for cut in self.cuts), default=FINE_SOFT)
        if self.again and 1 < size < FINE_SOFT:
            self._mask = None
        elif size < FINE and isinstance(mask, Tensor) and not self.algorithm.soft and mask.is_cpu:
            self._mask = Bits(mask)

    def importance(self) -> Tensor:
        """What the algorithm ranks: the scores, or the mean |W| of each group over its matrices."""
        if self.scores is not None:
            scores = self.scores.detach()
            return scores - self.offset if self.offset else scores
        if not self.cuts:  # its matrices were cut off
            return self.mask.float()
        sums = [cut.sizes() for cut in self.cuts]
        total = sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)
        size = sum(cut.site.grid.size for cut in self.cuts)
        return total if size == 1 else total / size

    def set(self, ramp: Ramp, step: int, dial: float) -> None:
        """The threshold of a step; or, where a dial drives the run, what the dial says.

        Turned to x, scores with a cut-off count as lowered by x, and of those that are ranked the
        share 1 / (1 + e^x) is kept. At `OFF` the dial does nothing.
        """
        algorithm = self.algorithm
        self.threshold, self.offset = ramp.value(step, algorithm.start, algorithm.end), 0.0
        if dial == OFF:
            return
        if algorithm.ranks:
            self.threshold = 1 / (1 + math.exp(dial))
        elif algorithm.cuts:
            self.threshold, self.offset = algorithm.end, dial

    def evaluated(self) -> Tensor:
        """The mask as it is evaluated, at the current threshold."""
        if not self.algorithm.soft:
            return self.mask
        return self.algorithm.mask(self.importance(), self.threshold)

    def remask(self, evaluation: bool) -> None:
        """A new mask, as training sees it or as it is evaluated, at the current threshold."""
        if self.algorithm.soft and not evaluation:
            self._mask = None  # made where it is used, or when it is asked for
        else:
            self.mask = self.algorithm.mask(self.importance(), self.threshold)

    def _made(self) -> Tensor:
        """The soft mask of training."""
        scores = self.importance()
        noise = Noise(*self.key) if self.algorithm.noisy else None
        mask = scores.new_empty(self.shape)
        for rows in self._rows():
            part = self._part(scores, rows)
            drawn = noise.like(part, rows.start * self.shape[1]) if noise else None
            self.algorithm.training_mask(part, self.threshold, drawn, out=mask[rows])
        return mask

    def scale(
        self, weights: Tensor, out: Tensor, beside: soft_masks.Beside | None = None
    ) -> Tensor | None:
        """W' by a mask that is not made yet, if that can be done in one pass; see Algorithm."""
        if (at := self._moment(beside)) is None:
            return None
        return self.algorithm.scale(at, weights, out)

    def pull(
        self,
        gradient: Tensor,
        weights: Tensor,
        out: Tensor,
        beside: soft_masks.Beside | None = None,
    ) -> Tensor | None:
        """The gradient of the scores in the same way."""
        if (at := self._moment(beside)) is None:
            return None
        return self.algorithm.pull(at, gradient, weights, self._rate(), out)

    def _moment(self, beside: soft_masks.Beside | None) -> Moment | None:
        """Of a mask that is not made, of one matrix alone."""
        if self._mask is not None or self.scores is None:
            return None
        if len(self.cuts) > 1 or self.cuts[0].site.flipped:
            return None
        words = Noise(*self.key).words if self.algorithm.noisy else (0, 0)
        return Moment(self.scores.detach(), self.offset, self.threshold, words, beside)

    def push_gradient(self) -> None:
        """dL/dS from what the cuts pulled, plus the penalty's own."""
        assert self.scores is not None
        pulled = [cut.as_scores(cut.pulled) for cut in self.cuts if cut.pulled is not None]
        if not pulled:
            self.scores.grad = None
            return
        gradient = pulled[0] if len(pulled) == 1 else torch.stack(pulled).sum(0)
        if not self.pushed and (self.pressure or self.algorithm.soft):
            gradient = self._gradient(gradient)
        self.scores.grad = gradient.contiguous()  # fused optimizers read memory in order
        self.pushed = False
        for cut in self.cuts:
            cut.pulled = None

    def push(self) -> masking.Push | None:
        """How dL/dM becomes dL/dS, if it is number by number and of one cut alone."""
        if self.scores is None or len(self.cuts) > 1 or self.cuts[0].site.flipped:
            return None
        scores, algorithm = self.scores.detach(), self.algorithm
        if algorithm.soft or scores.shape != self.shape:
            return None
        return masking.Push(scores, self._rate(), algorithm.shift)

    def _rate(self) -> float:
        """What the penalty's derivative is multiplied by, of each score."""
        return self.present * self.pressure / max(1, self.shape.numel())

    def _gradient(self, pulled: Tensor) -> Tensor:
        """dL/dM (R, C) -> dL/dS in the shape of the scores, which may be the same memory."""
        assert self.scores is not None
        scores, algorithm = self.scores.detach(), self.algorithm
        gradient = pulled if pulled.shape == scores.shape else torch.empty_like(scores)
        for rows in self._rows():
            own = self._part(scores, rows)
            part = pulled[rows]
            if algorithm.soft:  # what is not soft is straight-through
                seen = own - self.offset if self.offset else own
                part = algorithm.score_gradient(seen, self.mask[rows], part, self.threshold)
            if self.pressure:
                part.add_(algorithm.penalty_gradient(own), alpha=self._rate())
            target = self._part(gradient, rows)
            if part.data_ptr() != target.data_ptr():
                target.copy_(part)
        return gradient

    def _rows(self) -> Iterator[slice]:
        """The rows of the mask in pieces: what torch makes of one on the way stays in the cache."""
        assert self.scores is not None
        rows, columns = self.shape
        whole = not self.scores.is_cpu or soft_masks.fits(self.scores, self.shape)
        step = rows if whole else max(1, PIECE // max(1, columns))
        return (slice(first, first + step) for first in range(0, rows, step))

    def _part(self, scores: Tensor, rows: slice) -> Tensor:
        """The scores of these rows of the mask."""
        return scores[rows] if scores.ndim == 2 else scores[:, rows]

    @property
    def present(self) -> float:
        """The share of its groups that were not cut off: a mean over these is one over all."""
        here = self.shape.numel()
        return here / (here + sum(self.gone))

    def clear_gradient(self) -> None:
        """Its memory may be that of the weights to come: it is made anew before each step."""
        if self.scores is not None:
            self.scores.grad = None
