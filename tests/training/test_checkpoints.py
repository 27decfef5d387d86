"""A training that was interrupted anywhere and goes on equals the one that was not."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

import prune
from prune.config import ShrinkConfig
from prune.errors import ConfigError, StoreError, TrainingError
from prune.masks.algorithms import L0
from prune.masks.geometry import Rows
from prune.narrowing import Narrowing
from prune.training import checkpoints as module
from prune.training.checkpoints import Checkpoint, Checkpoints
from prune.training.resumable import RunTrainer
from prune.training.swaps import Anneal, install
from tests import tiny
from tests.training.test_trainer import Examples

STEPS = 12  # in 3 epochs
L0_POLICY = prune.Policy(
    ffn=prune.Part(L0(), Rows(), sharing="pair"), schedule=prune.Schedule(2, final=3)
)
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped": {"train_sampling_strategy": "group_by_length"},
    "accumulated": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
    "bf16": {"bf16": True},
    "noisy": {},
    "swapped": {},
    "narrowed": {},
}


class Interrupt(TrainerCallback):
    """Ctrl-C in the middle of step `at`."""

    def __init__(self, at: int, number: int = signal.SIGINT, times: int = 1) -> None:
        self.at, self.number, self.times = at, number, times

    def on_step_begin(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        if state.global_step == self.at:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


class Losses(TrainerCallback):
    def __init__(self) -> None:
        self.seen: dict[int, float] = {}

    def on_log(self, args: Any, state: Any, *_: Any, logs: Any = None, **__: Any) -> None:
        if "loss" in logs:
            self.seen[state.global_step] = logs["loss"]


def trainer(folder: Path, case: str = "plain", interval: float = 1e9, **extra: Any) -> RunTrainer:
    settings = {"per_device_train_batch_size": 8, "learning_rate": 1e-3, "logging_steps": 4}
    arguments = TrainingArguments(
        str(folder / "trainer"),
        num_train_epochs=3,
        **(settings | CASES[case] | extra),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        seed=0,
    )
    model = tiny.bert()
    model.config.hidden_dropout_prob = 0.1
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.1
    hybrid = prune.hybrid((8, 8), density=0.5, schedule=prune.Schedule(2, final=2))
    made = RunTrainer(
        model=model,
        args=arguments,
        train_dataset=Examples(32),
        policy=L0_POLICY if case == "noisy" else hybrid,
        checkpoints=Checkpoints(folder / "checkpoints", interval),
        clock=lambda: 5.0,
        warn=lambda text: pytest.fail(text),
    )
    swaps = install(model, case == "swapped", case == "swapped")
    made.add_callback(Anneal(swaps, 0.5))
    if case == "narrowed":
        narrowing = Narrowing(made, model, ShrinkConfig(patience=0.1), lambda _: None)
        made.companions.append(narrowing)
        made.add_callback(narrowing)
    return made


def weights(of: RunTrainer) -> dict[str, torch.Tensor]:
    return {**of.model.state_dict(), **of.pruner.state_dict()}


def same(one: RunTrainer, other: RunTrainer) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.fixture(scope="module", params=CASES)
def straight(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    ours, losses = trainer(tmp_path_factory.mktemp("straight"), request.param), Losses()
    ours.add_callback(losses)
    ours.go_on(None)
    return request.param, ours, losses.seen


def test_interrupted_and_continued_is_the_straight_training(straight: Any, tmp_path: Path) -> None:
    case, whole, losses = straight
    for at in {"grouped": (1, 4, 6), "narrowed": (6, 10)}.get(case, (6,)):  # 4: an epoch's end
        folder = tmp_path / str(at)
        first, seen = trainer(folder, case), Losses()
        first.add_callback(seen)
        first.add_callback(Interrupt(at - 1))
        with pytest.raises(KeyboardInterrupt):
            first.go_on(None)
        found = first.checkpoints.latest()
        assert found and (found.step, found.steps, found.finished) == (at, STEPS, False)
        again = trainer(folder, case)
        again.add_callback(seen)
        again.go_on(found)
        same(again, whole)
        assert seen.seen == losses  # the log, too


def test_the_narrowed_training_ends_narrow(straight: Any) -> None:
    case, whole, _ = straight
    narrow = whole.model.num_parameters() < tiny.bert().num_parameters()
    assert narrow == (case == "narrowed")


def test_what_is_finished_is_taken_and_not_trained_again(straight: Any, tmp_path: Path) -> None:
    case, whole, _ = straight
    found = whole.checkpoints.latest()
    assert found and found.finished and found.step == STEPS
    again = trainer(tmp_path, case)
    again.add_callback(Interrupt(0))  # would be raised by the first step
    again.go_on(found)
    assert again.state.global_step == STEPS
    same(again, whole)


def test_checkpoints_come_by_the_clock_and_only_the_newest_stays(tmp_path: Path) -> None:
    ours = trainer(tmp_path, interval=0.0)
    steps: list[int] = []
    write = ours.checkpoints.write
    ours.checkpoints.write = lambda state, fill: steps.append(state.step) or write(state, fill)  # type: ignore
    ours.go_on(None)
    assert steps == list(range(1, STEPS + 1))
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == [f"step-{STEPS:08}"]
    assert not any((tmp_path / "trainer").iterdir())


def test_writing_takes_a_small_share_of_the_time(tmp_path: Path) -> None:
    found = Checkpoints(tmp_path, 0.001)
    found.cost = 100.0
    assert not found.due()


@pytest.mark.parametrize("times", [1, 2])
def test_a_second_signal_does_not_wait_for_the_step(tmp_path: Path, times: int) -> None:
    ours = trainer(tmp_path)
    ours.add_callback(Interrupt(3, times=times))
    with pytest.raises(KeyboardInterrupt):
        ours.go_on(None)
    assert (ours.checkpoints.latest() is None) == (times == 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def filled(folder: Path) -> None:
    (folder / "weights").write_text("weights")


def test_a_spoilt_checkpoint_is_none_and_the_one_before_it_counts(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, 0)
    kept.write(Checkpoint(1, 9, 2.0), filled)
    os.rename(tmp_path / "step-00000001", tmp_path / "aside")
    kept.write(Checkpoint(2, 9, 4.0), filled)
    os.rename(tmp_path / "aside", tmp_path / "step-00000001")
    (tmp_path / "step-00000003.partial").mkdir()
    assert (found := kept.latest()) and found.step == 2 and found.seconds == 4.0
    (tmp_path / "step-00000002" / "weights").write_text("weight")
    assert (found := kept.latest()) and found.step == 1
    for spoilt in ("{", "[]", json.dumps({"step": 1, "file": {}})):
        (tmp_path / "step-00000001" / module.MANIFEST).write_text(spoilt)
        assert kept.latest() is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, 0)
    kept.write(Checkpoint(1, 9, 2.0), filled)

    def full(folder: Path) -> None:
        filled(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="free some space"):
        kept.write(Checkpoint(2, 9, 4.0), full)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"] and kept.latest()


def test_a_training_outlives_a_checkpoint_that_cannot_be_written(tmp_path: Path) -> None:
    ours, said = trainer(tmp_path, interval=0.0), []
    (tmp_path / "checkpoints").touch()  # no folder can be made there
    ours.warn = said.append
    ours.go_on(None)
    assert len(said) == STEPS and "no checkpoint at step 1: cannot use" in said[0]


def test_a_training_that_cannot_go_on_leaves_no_checkpoint(tmp_path: Path) -> None:
    ours = trainer(tmp_path, interval=0.0, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"the loss is nan at step"):
        ours.go_on(None)
    assert ours.checkpoints.latest() is None


@pytest.mark.parametrize("text", ["-1", "soon", "nan", "inf"])
def test_an_interval_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(module.INTERVAL, text)
    with pytest.raises(ConfigError, match=f"{module.INTERVAL}={text} must be a number"):
        Checkpoints(Path())
