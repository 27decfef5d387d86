"""What breaks the idea of masks between the steps is refused."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prune.errors import TrainingError
from prune.masks.slots import Slot


def refuse_sharded(slots: Sequence[Slot]) -> None:
    """Raises TrainingError for a parameter of which this process has a part only."""
    for slot in slots:
        if type(slot.weight.data) is not Tensor or slot.weight.is_meta:
            raise TrainingError(
                f"{slot.name} is sharded or not loaded: masks need whole parameters"
            )


def refuse_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """Raises TrainingError for a step that would not see the masked weights' own gradients."""
    if any(given is not None for given in (*args[1:], kwargs.get("closure"))):
        raise TrainingError(
            "optimizer.step(closure) sees the unmasked weights: call backward first"
        )
    if getattr(optimizer, "grad_scale", None) is not None:
        raise TrainingError("fused fp16 loss scaling hides the gradients: use bf16 instead")
