"""SparseTrainer in the Hugging Face Trainer: trains, prunes, distils, accumulates, resumes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

import prune
from prune.artifact.shrink import check
from prune.errors import TrainingError
from prune.masks.algorithms import L0
from prune.masks.geometry import Rows
from prune.training.distillation import OnlineTeacher
from tests import tiny

NAMES = ("start_logits", "end_logits")


class Examples(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    def __init__(self, count: int = 64) -> None:
        self.rows = tiny.labelled(count) | {"index": torch.arange(count)}

    def __len__(self) -> int:
        return len(self.rows["index"])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: value[index] for name, value in self.rows.items()}


def trainer(folder: Path, epochs: float = 3, **options: Any) -> prune.SparseTrainer:
    settings = {"per_device_train_batch_size": 8, "learning_rate": 1e-3, "logging_steps": 4}
    extra = options.pop("arguments", {})
    arguments = TrainingArguments(
        str(folder),
        num_train_epochs=epochs,
        **(settings | {"save_strategy": "no"} | extra),
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        seed=0,
    )
    schedule = prune.Schedule(warmup_steps=2, final=3)
    return prune.SparseTrainer(
        model=tiny.bert(),
        args=arguments,
        train_dataset=Examples(),
        policy=options.pop("policy", prune.hybrid((8, 8), density=0.5, schedule=schedule)),
        **options,
    )


@pytest.mark.parametrize(
    "arguments",
    [{}, {"gradient_accumulation_steps": 2}, {"bf16": True}, {"max_grad_norm": 0.1}],
    ids=["plain", "accumulation", "bf16", "clip"],
)
def test_it_trains_and_prunes(tmp_path: Path, arguments: dict[str, Any]) -> None:
    ours = trainer(tmp_path, arguments=arguments)
    ours.train()
    losses = [entry["loss"] for entry in ours.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    assert ours.pruner.step == ours.state.global_step == ours.pruner.ramp.total
    ours.pruner.finish()
    small = prune.shrink(ours.model)
    assert small.bert.encoder.layer[1].intermediate.dense.out_features == 24
    check(ours.model, small, [tiny.batch()], NAMES)  # no autocast is left around either
    assert "forward" not in vars(ours.model)


def test_evaluation_in_between_sees_the_final_masks_and_leaves_the_training_ones(
    tmp_path: Path,
) -> None:
    policy = prune.Policy(
        ffn=prune.Part(L0(), Rows(), sharing="pair"), schedule=prune.Schedule(2, final=3)
    )
    ours = trainer(tmp_path, policy=policy, eval_dataset=Examples(16))
    before = ours.evaluate()["eval_loss"]
    ours.train()
    training = [slot.weight.detach().clone() for slot in ours.pruner.slots]
    assert ours.evaluate()["eval_loss"] < before
    for slot, weight in zip(ours.pruner.slots, training, strict=True):
        assert torch.equal(slot.weight, weight)


def test_accumulation_is_the_larger_batch(tmp_path: Path) -> None:
    halves = trainer(
        tmp_path,
        arguments={"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    )
    whole = trainer(tmp_path)
    halves.train()
    whole.train()
    for ours, theirs in zip(halves.pruner.scores(), whole.pruner.scores(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-2)


def test_a_penalty_prunes_more(tmp_path: Path) -> None:
    kept = {}
    for penalty in (0.0, 100.0):
        schedule = prune.Schedule(warmup_steps=2, final=3)
        policy = prune.hybrid((8, 8), penalty=penalty, schedule=schedule)
        ours = trainer(tmp_path, policy=policy, scores_lr=0.2)
        ours.train()
        ours.pruner.finish()
        kept[penalty] = ours.pruner.density()
    assert kept[100.0] < kept[0.0]


def test_distillation_pulls_towards_the_teacher(tmp_path: Path) -> None:
    teacher = OnlineTeacher(tiny.bert(seed=5), NAMES)
    distances = {}
    for weight in (0.0, 1.0):
        ours = trainer(
            tmp_path,
            epochs=6,
            policy=prune.Policy(),
            distillation=prune.Distillation(
                teacher, NAMES, distil_weight=weight, task_weight=1 - weight
            ),
        )
        ours.train()
        batch = tiny.batch(rows=8)
        ours.model.eval()
        with torch.no_grad():
            found = torch.stack([ours.model(**batch)[n] for n in NAMES])
        wanted = torch.stack(teacher.logits(batch))
        real = batch["attention_mask"].bool()
        distances[weight] = (found - wanted)[:, real].abs().mean().item()
    assert distances[1.0] < distances[0.0]


def test_a_resumed_training_is_the_straight_one(tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 10}
    straight = trainer(tmp_path / "a", arguments=saving)
    straight.train()
    resumed = trainer(tmp_path / "b", arguments=saving)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-10"))
    for ours, theirs in zip(resumed.model.parameters(), straight.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is nan at step \d+: lower"):
        trainer(tmp_path, arguments={"learning_rate": 1e30}).train()
