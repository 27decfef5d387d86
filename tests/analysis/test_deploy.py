"""A recommended checkpoint, exported, measured again and run by the very lines that are printed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.deploy import Shipped, shipped, snippet
from prune.cli import main
from prune.errors import PruneError

QUICK = [
    *("task.max_train_samples=96", "task.max_eval_samples=24", "train.max_steps=12"),
    *("train.log_steps=4", "measure.rounds=3", "measure.grid=[[1,16]]"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/`: a toy network and a pruned one, both hardly trained."""
    folder = tmp_path_factory.mktemp("deploy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNE_RUNS", str(folder / "runs"))
        patch.delenv("PRUNE_DB", raising=False)
        assert main(["train", "+experiment=toy", *QUICK]) == 0
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.setenv("PRUNE_RUNS", str(place / "runs"))
    monkeypatch.delenv("PRUNE_DB", raising=False)
    return place


def pasted(printed: str, folder: Path, more: str) -> str:
    """What the printed lines, and `more`, print in a fresh Python."""
    code = printed.partition("to use it:\n")[2]
    assert code
    command = [sys.executable, "-c", f"{code}\n{more}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_printed_lines_run_the_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "--max-drop", "100"]) == 0
    printed = capsys.readouterr().out
    assert pasted(printed, here, "print(outputs.start_logits.shape[0])").strip() == "1"


def test_the_lines_of_the_block_sparse_runtime_run(here: Path) -> None:
    model = max(here.glob("runs/single/*/model"))
    code = "\n".join(snippet(model, None, sparse=True))
    more = "print(outputs.start_logits.shape[0])"
    assert pasted(f"to use it:\n{code}", here, more).strip() == "1"


def test_the_exported_file_is_measured_and_its_lines_run(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="needs prune[onnx]")
    limits = ["--max-drop", "100", "--latency-ms", "1000"]
    assert main(["recommend", *limits, "--export", "onnx"]) == 0
    printed = capfd.readouterr().out
    run = printed.split()[0]
    evidence = json.loads((here / "export" / run / "export.json").read_text())
    (row,) = (row for row in evidence["rows"] if row["name"] == "onnx")
    f1, ms = row["quality"]["f1"], row["latency"][0]["pruned_ms"]
    assert f"measured from that file: F1 {f1:.1f}" in printed
    assert f"{ms:.3g} ms in onnx runtime" in printed and "misses" not in printed
    assert (here / "export" / run / "README.md").is_file()
    assert pasted(printed, here, "print(len(outputs))").strip() == "2"


def test_a_file_that_misses_is_said_to(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="needs prune[onnx]")
    command = ["recommend", "--max-drop", "100", "--latency-ms", "1e-6", "--export=int8", "--json"]
    assert main(command) == 1
    found = json.loads(capfd.readouterr().out)
    assert "ms (at most 1e-06)" in found["missed"][0] and found["instead"] is None
    assert found["exported"]["file"] == "model.int8.onnx"
    assert found["snippet"][0] == "import onnxruntime"


def test_an_export_that_fails_is_one_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "export").mkdir(exist_ok=True)
    monkeypatch.setenv("PRUNE_RUNS", str(here / "runs"))
    with pytest.raises(PruneError, match="says nothing of onnx at batch 9 x 16"):
        shipped(here / "export", "onnx", (9, 16), 50.0, True)


@pytest.mark.parametrize(
    ("kind", "file", "words"),
    [
        ("BertForSequenceClassification", "", ["AutoTokenizer", '"a text"', "model(**batch)"]),
        ("ViTForImageClassification", "", ["AutoImageProcessor", "picture = Image.new"]),
        ("BartForConditionalGeneration", "", ["model.generate(**batch)"]),
        ("BertForQuestionAnswering", "model.onnx", ["onnxruntime", "Ada wrote it"]),
        ("BertForQuestionAnswering", "model.xml", ["openvino", "compile_model"]),
    ],
)
def test_the_lines_fit_the_kind_of_model(
    tmp_path: Path, kind: str, file: str, words: list[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [kind]}))
    found = Shipped("export/x", file, "", 1.0, 0.0, 1.0, 1.0, 1.0, 0.0) if file else None
    code = "\n".join(snippet(tmp_path, found))
    compile(code, "snippet", "exec")
    assert all(word in code for word in words)
