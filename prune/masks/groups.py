"""The moving parts of the Pruner: a Slot is one masked matrix, a Tie one tensor of group scores."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prune.masks.policy import Site, matrix


class Tie:
    """One tensor of group scores and the slots that live and die by it."""

    def __init__(self, name: str, slots: "list[Slot]") -> None:
        site = slots[0].site
        self.name = name
        self.slots = slots
        self.algorithm = site.algorithm
        self.part = site.part
        self.weight = site.weight
        self.pool = site.pool
        self.threshold = self.algorithm.start
        shape = slots[0].scores_shape()
        device = slots[0].weight.device
        self.mask = torch.ones(shape, dtype=torch.bool, device=device)
        self.scores: nn.Parameter | None = None
        if self.algorithm.learned:
            self.scores = nn.Parameter(
                torch.zeros(shape, dtype=slots[0].weight.dtype, device=device)
            )

    def importance(self) -> Tensor:
        """What the algorithm ranks: the scores, or the mean |W| of each group over its matrices."""
        if self.scores is not None:
            return self.scores
        sums = [slot.as_scores(slot.site.grid.sum(slot.full_matrix().abs())) for slot in self.slots]
        return torch.stack(sums).sum(0) / sum(slot.site.grid.size for slot in self.slots)

    def push_gradient(self, penalty: float) -> None:
        """dL/dS from what the slots pulled, plus the penalty's own."""
        assert self.scores is not None
        pulled = [slot.as_scores(slot.pulled) for slot in self.slots if slot.pulled is not None]
        if not pulled:
            self.scores.grad = None
            return
        gradient = pulled[0] if len(pulled) == 1 else torch.stack(pulled).sum(0)
        gradient = self.algorithm.score_gradient(self.scores, gradient)
        if penalty:
            gradient = gradient + penalty * self.algorithm.penalty_gradient(self.scores)
        self.scores.grad = gradient
        for slot in self.slots:
            slot.pulled = None


class Slot:
    """One matrix of the model: its full weights here, W' = M * W in the model.

    The two are tensors of their own that take turns as the parameter's data, so nothing is copied.
    """

    tie: Tie

    def __init__(self, site: Site, module: nn.Module) -> None:
        self.site = site
        self.module = module
        weight, bias = module.weight, getattr(module, "bias", None)
        assert isinstance(weight, nn.Parameter)
        self.weight = weight
        self.bias: nn.Parameter | None = bias
        self.full = weight.data
        self.masked = torch.empty_like(weight.data)
        self.full_bias = None if bias is None else bias.data.clone()
        self.pulled: Tensor | None = None  # dL/dM, (R, C) of the grid

    def full_matrix(self) -> Tensor:
        return matrix(self.module, self.full)

    def scores_shape(self) -> tuple[int, int]:
        rows, columns = self.site.grid.shape(tuple(self.full_matrix().shape))  # type: ignore[arg-type]
        return (columns, rows) if self.site.flipped else (rows, columns)

    def as_scores(self, groups: Tensor) -> Tensor:
        """A tensor over the grid's groups, in the layout of the (perhaps shared) scores."""
        return groups.T if self.site.flipped else groups

    def group_mask(self) -> Tensor:
        """Boolean, (R, C) of the grid."""
        return self.as_scores(self.tie.mask)

    def full_mask(self) -> Tensor:
        ones = torch.ones_like(self.full_matrix())
        grid = self.site.grid
        return (grid.cells(ones) * grid.spread(self.group_mask())).view(ones.shape)

    def live_weights(self) -> int:
        return int(self.tie.mask.sum()) * self.site.grid.size

    def put_masked(self) -> None:
        """W' = M * W in the model; a bias lives where its row has a live weight."""
        grid, mask = self.site.grid, self.group_mask()
        self._follow_device()
        out = grid.cells(matrix(self.module, self.masked))
        torch.mul(grid.cells(self.full_matrix()), grid.spread(mask), out=out)
        self.weight.data = self.masked
        if self.bias is not None and self.full_bias is not None:
            torch.mul(self.full_bias, grid.live_rows(mask), out=self.bias.data)

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
        grid, mask = self.site.grid, self.group_mask()
        gradient = matrix(self.module, self.weight.grad)
        if self.tie.scores is not None:
            self.pulled = grid.sum(gradient * self.full_matrix())
        grid.cells(gradient).mul_(grid.spread(mask))
        if self.bias is not None and self.bias.grad is not None:
            self.bias.grad.mul_(grid.live_rows(mask))

    def _follow_device(self) -> None:
        # The model may have been moved after the pruner was made.
        device = self.weight.device
        if self.full.device != device:
            self.full, self.masked = self.full.to(device), self.masked.to(device)
            self.full_bias = None if self.full_bias is None else self.full_bias.to(device)


def build(model: nn.Module, sites: Sequence[Site]) -> tuple[list[Slot], list[Tie]]:
    """One slot a site, one tie a score tensor."""
    modules = dict(model.named_modules())
    slots = [Slot(site, modules[site.module]) for site in sites]
    shared: dict[str, list[Slot]] = {}
    for slot in slots:
        shared.setdefault(slot.site.scores, []).append(slot)
    ties = [Tie(name, members) for name, members in shared.items()]
    for tie in ties:
        for slot in tie.slots:
            slot.tie = tie
    return slots, ties
