"""Cheap dead weight: units that have been dead for long are cut off while the training goes on.

What is cut off adds nothing, so the network computes what it did; later steps cost what the smaller
network costs. Units that are gone cannot come back, as they might have if their scores had risen.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel, TrainerCallback, TrainerState

from prune.artifact import surgery
from prune.config import ShrinkConfig
from prune.masks.anatomy import Anatomy
from prune.masks.narrow import Replaced, follow, granule, sides
from prune.masks.pruner import Pruner
from prune.masks.structure import Attention, Ffn, has

FILE = "narrowed.safetensors"  # of a checkpoint
CHECKS = 100  # looks in the course of a run
RAMPED = 0.9  # of the ramp must be done
WORTH = 0.05  # of the parameters must go, or it is not worth the while
WRAPPERS = ("forward", "_original_forward")  # what accelerate hangs on a model
LATE = 0.95  # of the steps, from when on nothing is gained any more


@final
class Narrowing(TrainerCallback):
    """Narrows the model of a RunTrainer, which it is a companion and a callback of.

    Units go that were dead for `patience` of all steps; widths stay multiples of `round_to`. `say`
    is told what went. Raises PolicyError for an architecture without a table.
    """

    def __init__(
        self,
        trainer: Any,
        model: PreTrainedModel,
        asked: ShrinkConfig,
        say: Callable[[str], None],
    ) -> None:
        self.trainer, self.model, self.say = trainer, model, say
        self.patience, self.round_to = asked.patience, asked.round_to
        self.anatomy = Anatomy(model)
        self.stays = [torch.ones(n, dtype=torch.bool) for n in self.anatomy.units]
        self.dead = [torch.zeros(n, dtype=torch.long) for n in self.anatomy.units]  # steps

    def on_step_end(self, args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        pruner: Pruner = self.trainer.pruner
        every = max(1, pruner.ramp.total // CHECKS)
        if state.global_step % every or not pruner.sites:
            return
        for dead, live in zip(self.dead, self.anatomy.live(pruner), strict=True):
            dead.add_(every).mul_(~live)
        done = pruner.ramp.progress(state.global_step) >= RAMPED
        if done and state.global_step < LATE * pruner.ramp.total:
            self._cut(self._ripe(pruner), state.global_step)

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
        missing = -int(stays.sum()) % self.round_to if isinstance(layer, Ffn) else 0
        return stays.index_fill(0, (~stays).nonzero()[:missing, 0], True)

    def _cut(self, stays: list[Tensor], step: int) -> None:
        gone = [int((~kept).sum()) for kept in stays]
        parameters = sum(p.numel() for p in self.model.parameters())
        loses = sum(n * each for n, each in zip(gone, self.anatomy.each, strict=True))
        if loses < WORTH * parameters:
            return
        self._narrow(stays)
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


def narrow(
    model: nn.Module,
    pruner: Pruner,
    optimizer: Optimizer,
    layers: Sequence[Attention | Ffn],
    stays: Sequence[Tensor],
) -> None:
    """Keep of each layer the units where `stays` (units,) is true; all in place.

    The optimizer goes on with the smaller parameters and what it knew of them.
    """
    pruner.restore()
    old = dict(model.named_parameters())
    moments = _moments(model, optimizer, old)
    for network in (model, *moments.values()):
        _keep(network, layers, stays)
    cut: dict[str, Any] = {}
    for layer, kept in zip(layers, stays, strict=True):
        if len(kept) and not kept.all():
            cut |= sides(layer, kept)
    scores = follow(pruner, cut)
    _hand_over(optimizer, old, model, moments)
    _hand_over_scores(optimizer, scores, pruner)


def _keep(model: nn.Module, layers: Sequence[Attention | Ffn], stays: Sequence[Tensor]) -> None:
    attention = [layer for layer in layers if isinstance(layer, Attention)]
    there = [has(model, layer) for layer in attention]
    groups = [kept if is_ else None for kept, is_ in zip(stays, there, strict=False)]
    with torch.no_grad():
        surgery.keep_heads(model, attention, groups)
        for layer, kept in zip(layers, stays, strict=True):
            if isinstance(layer, Ffn) and len(kept) and not kept.all():
                surgery.keep_neurons(model, layer, kept)


def _moments(
    model: nn.Module, optimizer: Optimizer, named: Mapping[str, nn.Parameter]
) -> dict[str, nn.Module]:
    """What the optimizer keeps of each weight, as networks of that shape: one for each kind.

    Whatever happens to the weights can then be done to those.
    """
    found: dict[str, nn.Module] = {}
    for name, weight in named.items():
        for kind, value in optimizer.state.get(weight, {}).items():
            if _is_like(value, weight):
                if kind not in found:
                    found[kind] = _copy(model)
                found[kind].get_parameter(name).data = value
    return found


def _is_like(value: Any, weight: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == weight.shape


def _copy(model: nn.Module) -> nn.Module:
    wrapped = {k: vars(model).pop(k) for k in WRAPPERS if k in vars(model)}
    try:
        return copy.deepcopy(model)
    finally:
        vars(model).update(wrapped)


def _hand_over(
    optimizer: Optimizer,
    old: Mapping[str, nn.Parameter],
    model: nn.Module,
    moments: Mapping[str, nn.Module],
) -> None:
    """Put the weights of `model` in the place of the `old` ones, with what was known of them."""
    new, names = dict(model.named_parameters()), {weight: name for name, weight in old.items()}
    steps = [state["step"] for state in optimizer.state.values() if "step" in state]

    def moment(name: str, kind: str, otherwise: Any) -> Any:
        return moments[kind].get_parameter(name).data if kind in moments else otherwise

    for group in optimizer.param_groups:
        known = [(weight, names.get(weight)) for weight in group["params"]]
        group["params"] = [new.get(n, w) if n else w for w, n in known if not n or n in new]
        for weight, name in known:
            if name and new.get(name) is not weight:
                known_of_it = optimizer.state.pop(weight, {})
                if name in new:
                    state = {kind: moment(name, kind, v) for kind, v in known_of_it.items()}
                    optimizer.state[new[name]] = state
    for name in sorted(new.keys() - old.keys()):  # a table of several layers: each got its own
        optimizer.param_groups[0]["params"].append(new[name])
        if steps:
            state = {kind: moment(name, kind, None) for kind in moments}
            optimizer.state[new[name]] = {"step": steps[0].clone(), **state}


def _hand_over_scores(
    optimizer: Optimizer, replaced: Mapping[nn.Parameter, Replaced], pruner: Pruner
) -> None:
    alive = set(pruner.scores())
    for group in optimizer.param_groups:
        ours = [(p, replaced[p].scores if p in replaced else p) for p in group["params"]]
        group["params"] = [new for old, new in ours if new is old or new in alive]
    for old, new in replaced.items():
        state = optimizer.state.pop(old, {})
        optimizer.state[new.scores] = {
            kind: new.take(value) if _is_like(value, old) else value
            for kind, value in state.items()
        }
