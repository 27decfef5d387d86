"""A Slot is one masked matrix of the model; `build` makes all of them, with the ties they share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prune.kernels import masking
from prune.kernels.later import Later
from prune.masks.cuts import Cut
from prune.masks.groups import Tie
from prune.masks.layout import matrix
from prune.masks.policy import Site


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
        return self._product(torch.empty_like(self.full_matrix()), evaluated)

    def live_weights(self) -> int:
        """How many weights are not zero in the masks as they are evaluated."""
        if len(self.cuts) > 1:
            return int(torch.count_nonzero(self.full_mask(evaluated=True)))
        (cut,) = self.cuts
        return int(torch.count_nonzero(cut.tie.evaluated())) * cut.site.grid.size

    def put_masked(self, later: Later) -> None:
        """W' = M * W in the model; a bias lives where its row has a live weight."""
        self._follow_device()
        target = matrix(self.module, self.masked)
        two = len(self.cuts) > 1
        alive = self._put_two(target) if two else self._put_one(target, later)
        self.alive = alive.to(target.dtype)
        self.weight.data = self.masked
        if self.bias is not None and self.full_bias is not None:
            torch.mul(self.full_bias, self.alive, out=self.bias.data)

    def _put_one(self, target: Tensor, later: Later) -> Tensor:
        """W' of one mask; which rows live."""
        (cut,) = self.cuts
        highest = cut.tie.scale(self.full_matrix(), target)
        if highest is not None:
            return highest > 0
        mask = cut.tie.make()
        cut.scale(self.full_matrix(), mask, target, later)
        return cut.site.grid.live_rows(cut.groups(mask))

    def _put_two(self, target: Tensor) -> Tensor:
        """W' of more; which rows live."""
        if pair := self._pair():
            soft, other = pair
            beside = other.beside()
            highest = soft.tie.scale(self.full_matrix(), target, beside)
            if highest is not None:
                return other.site.grid.live_rows(beside.mask) * (highest > 0)
        for cut in self.cuts:
            cut.tie.make()
        alive = self._product(target).amax(1) > 0
        target.mul_(self.full_matrix())
        return alive

    def _pair(self) -> tuple[Cut, Cut] | None:
        """A mask that can be made on the way, with another one beside it, and that one."""
        pairs = [cut for cut in self.cuts if cut.tie.algorithm.pairs]
        others = [cut for cut in self.cuts if not cut.tie.algorithm.pairs]
        if len(pairs) != 1 or len(others) != 1:
            return None
        return pairs[0], others[0]

    def put_full(self) -> None:
        self.weight.data = self.full
        if self.bias is not None and self.full_bias is not None:
            self.bias.data.copy_(self.full_bias)

    def keep_full(self) -> None:
        """After the optimizer has updated W in the model."""
        self.full = self.weight.data
        if self.bias is not None and self.full_bias is not None:
            self.full_bias.copy_(self.bias.data)

    def pull_gradient(self, later: Later) -> None:
        """From dL/dW' to dL/dM of each group (kept) and dL/dW (in place of the gradient)."""
        if self.weight.grad is None:
            return
        gradient = matrix(self.module, self.weight.grad)
        learned = any(cut.tie.scores is not None for cut in self.cuts)
        if not (learned and self._pulled_at_once(gradient, later)):
            if learned:
                self._pull(gradient)
            for cut in self.cuts:
                cut.scale(gradient, cut.tie.make(), gradient, later)
        if self.bias is not None and self.bias.grad is not None:
            self.bias.grad.mul_(self.alive)

    def _pulled_at_once(self, gradient: Tensor, later: Later) -> bool:
        """In one pass over memory, if this processor and grid have it."""
        if len(self.cuts) > 1:
            return self._two_pulled_at_once(gradient)
        (cut,) = self.cuts
        tie, weights, out = cut.tie, self.full_matrix(), matrix(self.module, self.masked)
        cut.pulled = tie.pull(gradient, weights, out)
        tie.pushed = cut.pulled is not None
        if cut.pulled is None:
            mask, size = cut.groups(tie.make()), (cut.site.grid.rows, cut.site.grid.columns)
            push = tie.push() if size == (1, 1) and weights.is_contiguous() else None
            cut.pulled = masking.pull(gradient, weights, mask, size, out, push, later)
            tie.pushed = cut.pulled is not None and push is not None
        return cut.pulled is not None

    def _two_pulled_at_once(self, gradient: Tensor) -> bool:
        if not (pair := self._pair()):
            return False
        (soft, other), out = pair, matrix(self.module, self.masked)
        beside = other.beside()
        soft.pulled = soft.tie.pull(gradient, self.full_matrix(), out, beside)
        soft.tie.pushed = soft.pulled is not None
        if soft.tie.pushed and other.tie.scores is not None:
            other.pulled = beside.sums
        return soft.tie.pushed

    def _pull(self, gradient: Tensor) -> None:
        # W' is of no more use until the next one is made: its memory takes the product.
        product = torch.mul(gradient, self.full_matrix(), out=matrix(self.module, self.masked))
        *others, last = sorted(self.cuts, key=lambda cut: -cut.site.grid.size)
        for cut in others:
            cut.pulled = cut.site.grid.sum(self._times_other_masks(product.clone(), cut))
        # Of single weights the sum is the product itself, so it comes last.
        last.pulled = last.site.grid.sum(self._times_other_masks(product, last))

    def _times_other_masks(self, product: Tensor, mine: Cut) -> Tensor:
        """In place."""
        for cut in self.cuts:
            if cut is not mine:
                cut.scale(product, cut.tie.make(), out=product)
        return product

    def _product(self, out: Tensor, evaluated: bool = False) -> Tensor:
        first, *others = self.cuts
        first.spread(first.tie.evaluated() if evaluated else first.tie.mask, out)
        for cut in others:
            cut.scale(out, cut.tie.evaluated() if evaluated else cut.tie.mask, out=out)
        return out

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
