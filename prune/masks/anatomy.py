"""What would be left of a network if it were shrunk now: heads and neurons, from the masks alone.

No weight is read, so it costs little and can be asked between two steps of training.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prune.masks import structure
from prune.masks.layout import matrix
from prune.masks.pruner import Pruner
from prune.masks.slots import Slot
from prune.masks.structure import Attention, Ffn


@dataclass(frozen=True)
class Left:
    """What is left: of each attention its heads, of each FFN its neurons."""

    heads: list[int]
    widths: list[int]
    parameters: int  # of the whole network, once shrunk


class Anatomy:
    """The structure of one model, read once. Raises PolicyError without a table for it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.found = structure.known(model)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.dense = self._left({})

    def left(self, pruner: Pruner) -> Left:
        """By the masks as they stand in the pruner."""
        return self._left({slot.name: slot for slot in pruner.slots})

    def _left(self, slots: dict[str, Slot]) -> Left:
        heads = [self._heads(layer, slots) for layer in self.found.attention]
        neurons = [self._neurons(layer, slots) for layer in self.found.ffn]
        layers: list[Attention | Ffn] = [*self.found.attention, *self.found.ffn]
        gone = 0
        for layer, live in zip(layers, heads + neurons, strict=True):
            gone += int((~live).sum()) * self._each(layer, len(live))
        return Left(
            [
                int(live.sum()) * a.group
                for a, live in zip(self.found.attention, heads, strict=True)
            ],
            [int(live.sum()) for live in neurons],
            self.parameters - gone,
        )

    def _heads(self, layer: Attention, slots: dict[str, Slot]) -> Tensor:
        """(key and value heads,): those whose value rows and output columns are not all dead."""
        rows = self._rows(layer.value, slots)
        rows = rows.chunk(layer.rows.count(layer.value))[-1].view(-1, layer.head_size)
        columns = self._columns(layer.output, slots).view(-1, layer.group * layer.head_size)
        return rows.any(1) & columns.any(1)

    def _neurons(self, layer: Ffn, slots: dict[str, Slot]) -> Tensor:
        """(width,): a dead row's bias is dead too, so act(0) = 0 leaves nothing of its neuron."""
        live = self._columns(layer.outer, slots)
        for name in dict.fromkeys(layer.rows):
            for rows in self._rows(name, slots).chunk(layer.rows.count(name)):
                live = live & rows
        return live

    def _each(self, layer: Attention | Ffn, units: int) -> int:
        """Parameters that go with one head (with its group's queries) or one neuron."""
        total = 0
        for name in dict.fromkeys(layer.rows):
            module = self.model.get_submodule(name)
            total += sum(p.numel() for p in module.parameters())
        outer = layer.output if isinstance(layer, Attention) else layer.outer
        return (total + self._weight(outer).numel()) // max(1, units)

    def _weight(self, name: str) -> Tensor:
        weight = self.model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        return weight

    def _rows(self, name: str, slots: dict[str, Slot]) -> Tensor:
        """(out,): the rows of a matrix that have a live weight."""
        live = self._whole(name)[:, 0]
        for cut in slots[name].cuts if name in slots else ():
            live = live & (cut.site.grid.live_rows(cut.groups(cut.tie.evaluated())) > 0).cpu()
        return live

    def _columns(self, name: str, slots: dict[str, Slot]) -> Tensor:
        """(in,): the columns of a matrix that have a live weight."""
        live = self._whole(name)[0]
        for cut in slots[name].cuts if name in slots else ():
            columns = (cut.groups(cut.tie.evaluated()).amax(0) > 0).cpu()
            live = live & columns.repeat_interleave(cut.site.grid.columns)
        return live

    def _whole(self, name: str) -> Tensor:
        module = self.model.get_submodule(name)
        shape = matrix(module, self._weight(name)).shape
        return torch.ones((), dtype=torch.bool).expand(shape)
