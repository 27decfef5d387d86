"""The moving parts of the Pruner: a Slot is one masked matrix, a Tie one tensor of scores.

A Cut is where the two meet: one mask of one matrix. A matrix has one of them, or two where the
pattern of `ampere` multiplies another mask; a tie has as many as matrices share its scores.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prune.masks.layout import matrix
from prune.masks.policy import Site
from prune.masks.schedule import Ramp

OFF = -1000.0  # a dial that nobody turned


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
        self.noise: Tensor | None = None  # u of the current step, if the algorithm is noisy
        # Groups that were cut off, dead ones and live ones: they keep their rank, first or last.
        self.gone: tuple[int, int] = (0, 0)
        shape = site.groups
        self.mask = torch.ones(shape, dtype=weight.dtype, device=weight.device)
        self.scores: nn.Parameter | None = None
        if self.algorithm.learned:
            scores = self.mask.new_full(self.algorithm.scores_shape(shape), self.algorithm.initial)
            self.scores = nn.Parameter(scores)

    def importance(self) -> Tensor:
        """What the algorithm ranks: the scores, or the mean |W| of each group over its matrices."""
        if self.scores is not None:
            scores = self.scores.detach()
            return scores - self.offset if self.offset else scores
        if not self.cuts:  # its matrices were cut off
            return self.mask
        sums = [cut.as_scores(cut.site.grid.sum(cut.slot.full_matrix().abs())) for cut in self.cuts]
        return torch.stack(sums).sum(0) / sum(cut.site.grid.size for cut in self.cuts)

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

    def remask(self, importance: Tensor, evaluation: bool) -> None:
        """A new mask, as training sees it or as it is evaluated, at the current threshold."""
        algorithm = self.algorithm
        if evaluation:
            self.mask = algorithm.mask(importance, self.threshold)
        else:
            self.mask = algorithm.training_mask(importance, self.threshold, self.noise)

    def push_gradient(self, penalty: float) -> None:
        """dL/dS from what the cuts pulled, plus the penalty's own."""
        assert self.scores is not None
        pulled = [cut.as_scores(cut.pulled) for cut in self.cuts if cut.pulled is not None]
        if not pulled:
            self.scores.grad = None
            return
        gradient = pulled[0] if len(pulled) == 1 else torch.stack(pulled).sum(0)
        scores, seen = self.scores.detach(), self.importance()
        gradient = self.algorithm.score_gradient(seen, gradient, self.threshold, self.noise)
        if penalty:
            share = self.present * penalty
            gradient = gradient + share * self.algorithm.penalty_gradient(scores)
        self.scores.grad = gradient.contiguous()  # fused optimizers read memory in order
        for cut in self.cuts:
            cut.pulled = None

    @property
    def present(self) -> float:
        """The share of its groups that were not cut off: a mean over these is one over all."""
        here = self.mask.numel()
        return here / (here + sum(self.gone))

    def clear_gradient(self) -> None:
        """Its memory may be that of the weights to come: it is made anew before each step."""
        if self.scores is not None:
            self.scores.grad = None


class Cut:
    """One mask of one matrix: M in the layout of the scores, seen in the layout of the matrix."""

    tie: Tie

    def __init__(self, site: Site, slot: "Slot") -> None:
        self.site = site
        self.slot = slot
        self.pulled: Tensor | None = None  # dL/dM, (R, C) of the grid

    def as_scores(self, groups: Tensor) -> Tensor:
        """A tensor over the grid's groups, in the layout of the (perhaps shared) mask."""
        return groups.T if self.site.flipped else groups

    def groups(self, mask: Tensor) -> Tensor:
        """The mask of the tie as (R, C) of the grid."""
        return mask.T if self.site.flipped else mask

    def scale(self, weights: Tensor, mask: Tensor, out: Tensor) -> None:
        """out = M * weights; all are (out, in), and `out` may be `weights`."""
        grid = self.site.grid
        spread = grid.spread(self.groups(mask))
        torch.mul(grid.cells(weights), spread, out=grid.cells(out))


class Slot:
    """One matrix of the model: its full weights here, W' = M * W in the model.

    The two are tensors of their own that take turns as the parameter's data, so nothing is copied.
    """

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.cuts: list[Cut] = []
        weight, bias = module.weight, getattr(module, "bias", None)
        assert isinstance(weight, nn.Parameter)
        self.weight = weight
        self.bias: nn.Parameter | None = bias
        self.full = weight.data
        self.masked = torch.empty_like(weight.data)
        self.full_bias = None if bias is None else bias.data.clone()
        self.alive = self.masked.new_ones(0)  # (out,), 1 where a row has any live weight

    def full_matrix(self) -> Tensor:
        return matrix(self.module, self.full)

    def full_mask(self, evaluated: bool = False) -> Tensor:
        """The product of the masks, (out, in): as in the model, or as evaluated."""
        product = torch.ones_like(self.full_matrix())
        for cut in self.cuts:
            cut.scale(product, cut.tie.evaluated() if evaluated else cut.tie.mask, out=product)
        return product

    def live_weights(self) -> int:
        """How many weights are not zero in the masks as they are evaluated."""
        if len(self.cuts) > 1:
            return int(torch.count_nonzero(self.full_mask(evaluated=True)))
        (cut,) = self.cuts
        return int(torch.count_nonzero(cut.tie.evaluated())) * cut.site.grid.size

    def put_masked(self) -> None:
        """W' = M * W in the model; a bias lives where its row has a live weight."""
        self._follow_device()
        source, target = self.full_matrix(), matrix(self.module, self.masked)
        for cut in self.cuts:
            cut.scale(source, cut.tie.mask, out=target)
            source = target
        self.weight.data = self.masked
        if self.bias is not None and self.full_bias is not None:
            self.alive = self._live_rows()
            torch.mul(self.full_bias, self.alive, out=self.bias.data)

    def put_full(self) -> None:
        self.weight.data = self.full
        if self.bias is not None and self.full_bias is not None:
            self.bias.data.copy_(self.full_bias)

    def keep_full(self) -> None:
        """After the optimizer has updated W in the model."""
        self.full = self.weight.data
        if self.bias is not None and self.full_bias is not None:
            self.full_bias.copy_(self.bias.data)

    def pull_gradient(self) -> None:
        """From dL/dW' to dL/dM of each group (kept) and dL/dW (in place of the gradient)."""
        if self.weight.grad is None:
            return
        gradient = matrix(self.module, self.weight.grad)
        if any(cut.tie.scores is not None for cut in self.cuts):
            # W' is of no more use until the next one is made: its memory takes the product.
            product = torch.mul(gradient, self.full_matrix(), out=matrix(self.module, self.masked))
            for cut in self.cuts:
                cut.pulled = cut.site.grid.sum(self._times_other_masks(product, cut))
        for cut in self.cuts:
            cut.scale(gradient, cut.tie.mask, out=gradient)
        if self.bias is not None and self.bias.grad is not None:
            self.bias.grad.mul_(self.alive)

    def _times_other_masks(self, product: Tensor, mine: Cut) -> Tensor:
        others = [cut for cut in self.cuts if cut is not mine]
        for cut in others:
            target = torch.empty_like(product)
            cut.scale(product, cut.tie.mask, out=target)
            product = target
        return product

    def _live_rows(self) -> Tensor:
        if len(self.cuts) > 1:
            return (self.full_mask().amax(1) > 0).to(self.full.dtype)
        (cut,) = self.cuts
        return cut.site.grid.live_rows(cut.groups(cut.tie.mask))

    def _follow_device(self) -> None:
        # The model may have been moved after the pruner was made.
        device = self.weight.device
        if self.full.device != device:
            self.full, self.masked = self.full.to(device), self.masked.to(device)
            self.full_bias = None if self.full_bias is None else self.full_bias.to(device)


def build(model: nn.Module, sites: Sequence[Site]) -> tuple[list[Slot], list[Tie]]:
    """One slot a matrix, one tie a score tensor."""
    modules = dict(model.named_modules())
    slots: dict[str, Slot] = {}
    shared: dict[str, list[Cut]] = {}
    for site in sites:
        if site.module not in slots:
            slots[site.module] = Slot(site.module, modules[site.module])
        slot = slots[site.module]
        slot.cuts.append(Cut(site, slot))
        shared.setdefault(site.scores, []).append(slot.cuts[-1])
    ties = [Tie(name, members) for name, members in shared.items()]
    for tie in ties:
        for cut in tie.cuts:
            cut.tie = tie
    return list(slots.values()), ties
