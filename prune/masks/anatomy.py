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
    """The structure of one model, read once. Raises PolicyError without a table for it.

    round_to: FFN widths are kept at a multiple of it, as `shrink` does.
    """

    def __init__(self, model: nn.Module, round_to: int = 1) -> None:
        self.model, self.round_to = model, round_to
        self.found = structure.known(model)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.layers: list[Attention | Ffn] = [*self.found.attention, *self.found.ffn]
        self.units = [len(live) for live in self._live({})]
        each = zip(self.layers, self.units, strict=True)
        self.each = [self._each(layer, units) for layer, units in each]  # parameters of one unit
        self.dense = self._left({})

    def left(self, pruner: Pruner) -> Left:
        """By the masks as they stand in the pruner."""
        return self._left({slot.name: slot for slot in pruner.slots})

    def live(self, pruner: Pruner) -> list[Tensor]:
        """Of each attention its key and value heads, of each FFN its neurons: which have a use."""
        return self._live({slot.name: slot for slot in pruner.slots})

    def rounded(self, live: int, width: int) -> int:
        """How many of `width` neurons stay where `live` have a use."""
        return min(width, live + -live % self.round_to)

    def _left(self, slots: dict[str, Slot]) -> Left:
        attention = len(self.found.attention)
        counts = [int(live.sum()) for live in self._live(slots)]
        for number, units in enumerate(self.units[attention:], attention):
            counts[number] = self.rounded(counts[number], units)
        gone = [
            (units - count) * each
            for units, count, each in zip(self.units, counts, self.each, strict=True)
        ]
        heads = [c * a.group for a, c in zip(self.found.attention, counts, strict=False)]
        return Left(heads, counts[attention:], self.parameters - sum(gone))

    def _live(self, slots: dict[str, Slot]) -> list[Tensor]:
        return [self._units(layer, slots) for layer in self.layers]

    def _units(self, layer: Attention | Ffn, slots: dict[str, Slot]) -> Tensor:
        if not structure.has(self.model, layer):
            return torch.ones(0, dtype=torch.bool)
        if isinstance(layer, Attention):
            return self._heads(layer, slots)
        return self._neurons(layer, slots)

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
