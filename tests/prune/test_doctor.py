"""`prune doctor` finds what is there, and what is wrong."""

import importlib.metadata
import json
from pathlib import Path

import pytest

from prune.cli import main
from prune.commands import doctor


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    return {found["what"]: found for found in json.loads(capsys.readouterr().out)}


def test_a_machine_that_runs_the_tests_is_well(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json"]) == 0
    found = findings(capsys)
    assert {"packages", "processor", "store", "disk", "hub"} <= set(found)
    assert str(runs) in found["store"]["text"]
    assert {f["verdict"] for f in found.values()} <= {"ok", "note"}


def test_a_store_that_cannot_be_opened_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRUNE_RUNS", str(tmp_path / "file" / "runs"))
    assert main(["doctor", "--json"]) == 1
    assert findings(capsys)["store"]["verdict"] == "PROBLEM"


@pytest.mark.parametrize(
    ("best", "native"), [("avx512_bf16", True), ("avx2", False), (None, False)]
)
def test_a_processor_that_multiplies_bf16_is_said_to(
    best: str | None, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "vectors", lambda: best)
    assert any(f.what == "bf16" for f in doctor.devices()) == native


def test_a_package_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.1" if name == "optuna" else real(name)
    )
    (found,) = doctor.packages()
    assert found.verdict == "PROBLEM" and "optuna 0.1 is not <6,>=5" in found.text
