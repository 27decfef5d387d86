"""`prune train` from the command line to the record, and what a user sees when it cannot go on."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import prune
from prune import run
from prune.cli import main
from prune.errors import PruneError
from prune.store import Store, masks
from prune.training.resumable import RunTrainer

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
    kept = masks.read(Path(pruned.path))
    assert len(kept) == 12 and 0.4 < np.mean([np.mean(m) for m in kept.values()]) / 255 < 0.6
    assert not masks.read(Path(dense.path))  # nothing of it was pruned
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
    assert list(pruned.costs) == ["data", "teacher", "training", "shrinking", "measuring"]
    assert sum(pruned.costs.values()) == pytest.approx(pruned.seconds, rel=0.05)


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


def test_another_runs_model_is_filled_and_its_lineage_recorded(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRUNE_RUNS", str(finished))
    dense, first = Store(finished).records()[:2]
    assert main(["train", f"from_run={first.run_id}"]) == 2
    assert "fill.epochs=N" in capsys.readouterr().err
    command = ["train", f"from_run={first.run_id}", "fill.epochs=1", "train.max_steps=8"]
    assert main(command) == 0
    record = Store(finished).records()[-1]
    assert record.lineage["model"] == first.run_id
    assert [point.stage for point in record.points] == ["filled", "filled"]
    assert record.reference == dense.points[-1].quality
    assert record.points[0].density == first.points[-1].density  # nothing is pruned twice
    assert record.steps == 8
    assert main(command) == 0
    assert "is done already" in capsys.readouterr().out


def test_a_target_was_asked_of_the_run_that_pruned(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRUNE_RUNS", str(finished))
    assert main(["train", "+experiment=toy", *QUICK, "target.density=0.6"]) == 0
    assert "target      0.6 met" in capsys.readouterr().out
    run_id = Store(finished).records()[-1].run_id
    assert main(["train", f"from_run={run_id}", "fill.epochs=1", "train.max_steps=8"]) == 0
    assert [p.stage for p in Store(finished).records()[-1].points] == ["pruned", "filled"]
    assert "target" not in capsys.readouterr().out


def test_a_network_is_pruned_further_to_a_share_of_the_dense_one(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRUNE_RUNS", str(finished))
    assert main(["train", "+experiment=toy", *QUICK, "target.density=0.6"]) == 0
    run_id = Store(finished).records()[-1].run_id
    again = ["train", f"from_run={run_id}", "train.epochs=1"]
    before = Store(finished).find(run_id).points[0].density
    for name in ("topk", "sigmoid_threshold"):
        algorithm = [f"attention.algorithm={name}", f"ffn.algorithm={name}"]
        assert main([*again, *algorithm, "target.density=0.3"]) == 0
        assert "target      0.3 met" in capsys.readouterr().out
        (point,) = Store(finished).records()[-1].points
        assert point.density.nonzero <= 0.3 * 1.03 < before.nonzero
    assert main([*again, "target.density=0.7"]) == 2
    assert "target.density=0.7 is met before pruning" in capsys.readouterr().err
    assert main([*again, "target.density=null", "target.speedup=1.01"]) == 2
    assert "target.speedup=1.01 is met before pruning" in capsys.readouterr().err


def test_a_small_model_that_is_not_equal_stops_the_run_and_names_the_layer(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty(model: torch.nn.Module, round_to: int) -> torch.nn.Module:
        small = prune.shrink(model, round_to)
        with torch.no_grad():
            small.get_parameter("bert.encoder.layer.1.output.dense.weight")[:9] += 0.1
        return small

    monkeypatch.setenv("PRUNE_RUNS", str(finished))
    monkeypatch.setattr("prune.run.shrink", faulty)
    dense = Store(finished).records()[0].run_id
    asked = [f"model.name_or_path='{dense}'", "teacher=none", "train.max_steps=4", "seed=3"]
    assert main(["train", "+experiment=toy", *QUICK, *asked]) == 1
    shown = capsys.readouterr().err
    assert "logits differ by" in shown and "bert.encoder.layer.1.output.dense" in shown
    failed = Store(finished).records(status="failed")[-1]
    assert "bert.encoder.layer.1.output.dense" in failed.error
    assert not (Path(failed.path) / "model").exists()


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
        (["model.name_or_path='deadbeef'"], 1, "no run 'deadbeef'"),
        (["task=sst2", *SAVED], 2, "task=sst2 needs one ForSequenceClassification"),
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


def test_what_failed_after_the_training_is_not_trained_again(
    finished: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, runs)
    command = ["train", "experiment=toy", *QUICK, "seed=1", "fill.epochs=1"]
    command += ["model.name_or_path='experiment:dense_toy seed=0'", "teacher=none"]
    monkeypatch.setattr(run, "record_of", _broken)  # when all is trained and measured
    assert main(command) == 1
    assert "the disk is gone" in capsys.readouterr().err
    failed = Store(runs).records(status="failed")[-1]
    metrics = Path(failed.path) / "metrics.jsonl"
    assert failed.steps == 48 and (lines := metrics.read_text())
    monkeypatch.undo()
    monkeypatch.setenv("PRUNE_RUNS", str(runs))
    monkeypatch.setattr(RunTrainer, "train", _broken)
    assert main(command) == 0
    assert capsys.readouterr().out.count("resumed     at step 24 of 24") == 2
    record = Store(runs).find(failed.run_id)
    assert (record.status, record.steps) == ("done", 48) and metrics.read_text() == lines
    assert not (Path(record.path) / "checkpoints").exists()


def _broken(*_: object, **__: object) -> None:
    raise PruneError("the disk is gone")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moments_the_same_command_ends_in_the_same_weights(
    finished: Path, runs: Path, seed: int
) -> None:
    words = ["train", "+experiment=toy", *QUICK, "fill.epochs=1"]
    command = [sys.executable, "-P", "-m", "prune", *words]
    environment = os.environ | {"PRUNE_CHECKPOINT_S": "0"}
    moments = random.Random(seed)
    for _ in range(2):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + moments.uniform(3, 20)
        while time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert {record.status for record in Store(runs).records()} <= {"interrupted", "done"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    expected = {record.run_id: record for record in Store(finished).records()}
    for record in Store(runs).records():
        straight = expected[record.run_id]
        assert record.status == "done" and record.steps == straight.steps
        assert [p.sha256 for p in record.points] == [p.sha256 for p in straight.points]
        assert prune.load(Path(record.path) / record.points[-1].artifact) is not None
