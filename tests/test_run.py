"""`prune train` from the command line to the record, and what a user sees when it cannot go on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import prune
from prune.cli import main
from prune.store import Store

SAVED = ["model.name_or_path={dense}", "teacher=none"]
QUICK = [
    "task.max_train_samples=96",
    "task.max_eval_samples=24",
    "train.max_steps=24",
    "train.log_steps=4",
    "measure.rounds=3",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder after one toy run (and the dense one it starts from)."""
    folder = tmp_path_factory.mktemp("finished") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNE_RUNS", str(folder))
        patch.delenv("PRUNE_DB", raising=False)
        assert main(["train", "+experiment=toy", *QUICK, "fill.epochs=1"]) == 0
    return folder


def test_a_run_leaves_evidence_of_one_artifact(finished: Path) -> None:
    dense, pruned = Store(finished).records()
    point = pruned.points[0]
    assert pruned.lineage == {"model": dense.run_id, "teacher": dense.run_id}
    assert pruned.reference == dense.points[0].quality
    assert point.stage == "pruned" and dense.points[0].stage == "dense"
    assert 0.4 < point.density.nonzero <= 0.5  # what only dead heads read dies with them
    assert point.density.nonzero <= point.density.stored < point.density.model < 1
    assert point.widths == [512, 512] and point.logit_difference < 1e-4
    assert len(point.latency) == 2 and point.size_mb < point.dense_size_mb
    model = prune.load(Path(pruned.path) / point.artifact)
    ids = torch.randint(5, 50, (2, 20))
    assert model(ids).start_logits.shape == (2, 20)
    filled = pruned.points[1]
    assert (filled.stage, filled.artifact) == ("filled", "filled")
    assert filled.density.nonzero == filled.density.stored == point.density.stored
    assert filled.sha256 != point.sha256 and filled.widths == point.widths
    prune.load(Path(pruned.path) / filled.artifact)
    card = (Path(pruned.path) / "model/README.md").read_text()
    assert f"{point.quality['f1']:.2f}" in card
    lines = (Path(pruned.path) / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    densities = [line["density"] for line in metrics if "density" in line]
    assert densities[-1] == pytest.approx(0.5, abs=0.01)
    assert [line["step"] for line in metrics] == list(range(4, 49, 4))
    assert pruned.steps == 48


def test_the_same_command_says_it_is_done(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRUNE_RUNS", str(finished))
    command = ["train", "experiment=toy", *QUICK, "fill.epochs=1"]
    assert main(command) == 0  # without the plus: the same run
    assert "is done already" in capsys.readouterr().out


def test_a_teacher_by_its_id_asked_each_step_and_swaps_and_a_penalty(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRUNE_RUNS", str(finished))
    dense = Store(finished).records()[0].run_id
    command = ["train", "+experiment=toy", *QUICK, "train.max_steps=12", "teacher.cache=false"]
    command += [f"model.name_or_path='{dense}'", f"teacher.name_or_path='{dense}'"]
    command += ["attention=dense", "ffn.algorithm=sigmoid_threshold", "target.density=null"]
    command += ["schedule.penalty=50", "swap.nonorm=true", "swap.relu=true"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert f"teacher     {dense}" in out and "asked in every step" in out
    assert "penalty 50" in out
    model = prune.load(Path(Store(finished).records()[-1].path) / "model")
    assert not any(isinstance(m, torch.nn.LayerNorm) for m in model.modules())
    assert model.config.hidden_act == "relu"


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (["experiment=tyo"], 2, "did you mean toy?"),
        (["train.lrr=1", "seed=-1"], 2, "did you mean train.lr?"),
        (["attention.block=[48,48]"], 2, "attention.block=[48,48] does not divide"),
        (["attention.block=[48,48]"], 2, "blocks that fit: rows 1, 2, 4, 8, 16, 32, 64 or 128"),
        (["schedule.warmup_ratio=0.2"], 2, "the schedule does not fit"),
        (["measure.grid=[[1,999]]"], 2, "the model reads 64 tokens at most, not 999"),
        (
            ["task=squad", "task.max_length=64", "task.data_dir=no", *SAVED],
            1,
            "task.data_dir=FOLDER",
        ),
        (["model.name_or_path=./nowhere"], 1, "there is no model folder ./nowhere"),
        (["model.name_or_path=no-such/model"], 1, "model.name_or_path=FOLDER"),
        (["teacher.name_or_path='abcdef12'"], 1, "abcdef12"),
        (["train.lr=1e30", "teacher=none"], 1, "lower train.lr"),
    ],
)
def test_bad_input_gets_its_line(
    finished: Path,
    overrides: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PRUNE_RUNS", str(finished))
    dense = Store(finished).records(status="done")[0].run_id
    asked = [o.format(dense=f"'{dense}'") if "{" in o else o for o in overrides]
    assert main(["train", "experiment=toy", *QUICK, *asked]) == code
    shown = capfd.readouterr().err
    assert message in shown
    assert "Traceback" not in shown and "unexpected" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_the_same_command_completes(runs: Path, seed: int) -> None:
    command = [sys.executable, "-P", "-m", "prune", "train", "+experiment=toy", *QUICK]
    wait = random.Random(seed).uniform(3, 14)
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ.copy())
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = {record.run_id: record.status for record in Store(runs).records()}
    assert set(before.values()) <= {"interrupted", "done"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = Store(runs).records()
    assert [record.status for record in after] == ["done", "done"]
    for record in after:
        if before.get(record.run_id) == "interrupted":
            assert prune.load(Path(record.path) / "model") is not None
