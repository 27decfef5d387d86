"""Cheap dead weight: units that have been dead for long are cut off while the training goes on.

What is cut off adds nothing, so the network computes what it did; later steps cost what the smaller
network costs. Units that are gone cannot come back, as they might have if their scores had risen.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, TrainerCallback, TrainerState

from prune.config import ShrinkConfig
from prune.cutting import narrow
from prune.masks.anatomy import Anatomy
from prune.masks.narrow import granule
from prune.masks.pruner import Pruner
from prune.masks.structure import Attention, Ffn
from prune.training.target import Goal, steer

FILE = "narrowed.safetensors"  # of a checkpoint
CHECKS = 100  # looks in the course of a run
RAMPED = 0.9  # of the ramp must be done
WORTH = 0.05  # of the parameters must go, or it is not worth the while
LATE = 0.95  # of the steps, from when on nothing is gained any more


@final
class Narrowing(TrainerCallback):
    """Narrows the model of a RunTrainer, which it is a companion and a callback of.

    Units go that were dead for `patience` of all steps; widths stay multiples of `round_to`. Before
    that a run with a `goal` is steered to it: what died between two turns may yet be wanted. `say`
    is told what went. Raises PolicyError for an architecture without a table.
    """

    def __init__(
        self,
        trainer: Any,
        model: PreTrainedModel,
        asked: ShrinkConfig,
        say: Callable[[str], None],
        goal: Goal | None = None,
    ) -> None:
        self.trainer, self.model, self.say, self.goal = trainer, model, say, goal
        self.patience = asked.patience
        self.anatomy = Anatomy(model, asked.round_to)
        self.stays = [torch.ones(n, dtype=torch.bool) for n in self.anatomy.units]
        self.dead = [torch.zeros(n, dtype=torch.long) for n in self.anatomy.units]  # steps

    def on_step_end(self, args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        pruner: Pruner = self.trainer.pruner
        every = max(1, pruner.ramp.total // CHECKS)
        if state.global_step % every or not pruner.sites:
            return
        self._look(pruner, every)
        done = pruner.ramp.progress(state.global_step) >= RAMPED
        late = state.global_step >= LATE * pruner.ramp.total
        if not done or late or not self._worth(self._ripe(pruner)):
            return
        if self.goal:
            steer(pruner, self.goal)
            self._look(pruner, 0)
        stays = self._ripe(pruner)
        if loses := self._worth(stays):
            self._cut(stays, loses, state.global_step)

    # -- what a checkpoint keeps -----------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Which units are left and how long each has been dead."""
        stays = {f"stays.{i}": kept.to(torch.uint8) for i, kept in enumerate(self.stays)}
        save_file(stays | {f"dead.{i}": d for i, d in enumerate(self.dead)}, folder / FILE)

    def take_up(self, folder: Path) -> None:
        """Narrow the model, its pruner and its optimizer as they were in this checkpoint."""
        saved = load_file(folder / FILE)
        stays = [saved[f"stays.{i}"].bool() for i in range(len(self.stays))]
        if not all(kept.all() for kept in stays):
            self._narrow(stays)
        self.dead = [saved[f"dead.{i}"] for i in range(len(self.dead))]

    # --------------------------------------------------------------------------------------------

    def _look(self, pruner: Pruner, steps: int) -> None:
        """Dead units have been so for `steps` more."""
        for dead, live in zip(self.dead, self.anatomy.live(pruner), strict=True):
            dead.add_(steps).mul_(~live)

    def _ripe(self, pruner: Pruner) -> list[Tensor]:
        """For each layer which of the units it has may stay, (units,)."""
        found = []
        for layer, dead in zip(self.anatomy.layers, self.dead, strict=True):
            gone = dead >= max(1.0, self.patience * pruner.ramp.total)
            if len(gone) and gone.any() and self._adds_nothing(layer):
                each = granule(pruner, layer, len(gone))
                gone = gone.view(-1, each).all(1).repeat_interleave(each)
                found.append(self._rounded(~gone, layer))
            else:
                found.append(torch.ones_like(gone))
        return found

    def _adds_nothing(self, layer: Attention | Ffn) -> bool:
        """Whether a neuron without weights adds 0: not with an activation that has another f(0)."""
        if isinstance(layer, Attention):
            return True
        activation = self.model.get_submodule(layer.activation)
        device = next(self.model.parameters()).device
        with torch.no_grad():
            return not activation(torch.zeros(1, device=device)).any()

    def _rounded(self, stays: Tensor, layer: Attention | Ffn) -> Tensor:
        if isinstance(layer, Attention):
            return stays
        live = int(stays.sum())
        missing = self.anatomy.rounded(live, len(stays)) - live
        return stays.index_fill(0, (~stays).nonzero()[:missing, 0], True)

    def _worth(self, stays: list[Tensor]) -> int:
        """How many parameters would go; 0 where it is not worth the while."""
        gone = zip(stays, self.anatomy.each, strict=True)
        loses = sum(int((~kept).sum()) * each for kept, each in gone)
        return loses if loses >= WORTH * sum(p.numel() for p in self.model.parameters()) else 0

    def _cut(self, stays: list[Tensor], loses: int, step: int) -> None:
        self._narrow(stays)
        gone = [int((~kept).sum()) for kept in stays]
        layers = zip(self.anatomy.layers, gone, strict=True)
        heads = sum(n * a.group for a, n in layers if isinstance(a, Attention))
        neurons = sum(gone[len(self.anatomy.found.attention) :])
        share = f"{loses / self.anatomy.parameters:.0%} of the parameters"
        self.say(f"narrow      step {step}: {heads} dead heads, {neurons:,} neurons gone, {share}")

    def _narrow(self, stays: list[Tensor]) -> None:
        optimizer = self.trainer.optimizer
        optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
        narrow(self.model, self.trainer.pruner, optimizer, self.anatomy.layers, stays)
        for mine, kept in zip(self.stays, stays, strict=True):
            mine[mine.nonzero()[:, 0]] = kept
        self.dead = [dead[kept] for dead, kept in zip(self.dead, stays, strict=True)]
