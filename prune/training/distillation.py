"""Knowledge distillation: the loss, and a teacher that answers while training goes on.

Hinton et al. 2015 (arXiv:1503.02531), as Sanh et al. 2020 use it for fine-pruning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

POSITION_LOGITS = ("start_logits", "end_logits")  # their classes are the tokens of the input
NOT_INPUTS = ("index", "length", "labels", "start_positions", "end_positions")

# Which tokens are real: of what is written, where something is; else of what is read.
MASKS = ("decoder_attention_mask", "attention_mask")


def without_labels(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a network needs of a batch to give logits."""
    return {name: value for name, value in batch.items() if name not in NOT_INPUTS}


class Teacher(Protocol):
    """Whatever knows a teacher's logits for a batch."""

    def logits(self, batch: Mapping[str, Tensor]) -> list[Tensor]: ...


@final
@dataclass
class OnlineTeacher:
    """A model that is asked in every step."""

    model: nn.Module
    names: Sequence[str]

    @torch.no_grad()
    def logits(self, batch: Mapping[str, Tensor]) -> list[Tensor]:
        inputs = without_labels(batch)
        self.model.eval().to(next(iter(inputs.values())).device)
        outputs = self.model(**inputs)
        return [outputs[name] for name in self.names]


@dataclass(frozen=True)
class Distillation:
    """loss = task_weight * task loss + distil_weight * KD."""

    teacher: Teacher
    names: Sequence[str]  # of the logits in the student's outputs
    temperature: float = 2.0
    distil_weight: float = 0.9
    task_weight: float = 0.1

    def loss(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        student = [outputs[name] for name in self.names]
        kd = kd_loss(
            student,
            self.teacher.logits(batch),
            self.names,
            next((batch[name] for name in MASKS if name in batch), None),
            self.temperature,
        )
        task: Tensor = outputs["loss"]
        return self.task_weight * task + self.distil_weight * kd


def kd_loss(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    names: Sequence[str],
    mask: Tensor | None,
    temperature: float,
) -> Tensor:
    """Mean over the logit heads of T^2 KL(teacher / T || student / T); padding does not count.

    student, teacher: one tensor a head, (batch, length) for positions, (batch, classes) or
    (batch, length, classes), or (batch, 1) for a regression, which has the squared error instead;
    mask: (batch, length), 1 for tokens; None: all are real.
    """
    shape = student[0].shape[:2]
    real = student[0].new_ones(shape, dtype=torch.bool) if mask is None else mask.bool()
    losses = []
    for name, ours, theirs in zip(names, student, teacher, strict=True):
        theirs = theirs.to(ours.device, torch.float32)
        ours = ours.float()
        if name in POSITION_LOGITS:
            lowest = torch.finfo(torch.float32).min
            ours, theirs = ours.masked_fill(~real, lowest), theirs.masked_fill(~real, lowest)
        elif ours.ndim == 3:
            ours, theirs = ours[real], theirs[real]
        elif ours.shape[1] == 1:  # a regression has no classes to compare
            losses.append(nn.functional.mse_loss(ours, theirs))
            continue
        losses.append(_divergence(ours, theirs, temperature))
    return torch.stack(losses).mean()


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_student = torch.log_softmax(student / temperature, -1)
    log_teacher = torch.log_softmax(teacher / temperature, -1)
    kl = nn.functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return kl * temperature**2
