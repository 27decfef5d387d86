"""`prune runs`, `prune db` and `prune ls`, called as the command line calls them."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from store_cases import config, finished, interrupted

from prune import cli, compose
from prune.choices import ALGORITHMS
from prune.commands import painted, table
from prune.migrations import HEAD
from prune.store import Store

Prune = Callable[..., str]


@pytest.fixture
def prune(runs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Prune:
    """Run a command line: its output, after checking its exit code."""
    for variable in cli.FLAGS.values():
        monkeypatch.setenv(variable, "")

    def run(line: str, code: int = 0) -> str:
        found = cli.main(shlex.split(line))
        out, err = capfd.readouterr()
        assert found == code, err
        return err if code else out

    return run


def fill() -> Store:
    store = Store()
    finished(store, seed=1)
    finished(store, seed=2, group="shapes", task="squad")
    interrupted(store, seed=3)
    with pytest.raises(ValueError), store.open_run(config(seed=4), ["seed=4"]):
        raise ValueError("x" * 500)
    return store


def test_runs_ls(prune: Prune) -> None:
    store = fill()
    header, *rows = prune("runs ls").splitlines()
    assert header.split()[:4] == ["run", "status", "group", "experiment"]
    assert len({len(row.split("  ")[0]) for row in rows}) == 1
    texts = {row.split()[1]: row for row in rows}
    assert re.search(r"f1 58\.90 +0\.310 +14\.9 +1\.63x", texts["done"])
    assert "step 10, loss 2.5" in texts["interrupted"]
    assert "ValueError: xxx" in texts["failed"] and len(texts["failed"]) < 200
    assert len(prune("runs ls --group shapes").splitlines()) == 2
    assert len(prune("runs ls --status done --task squad").splitlines()) == 2
    assert "no such runs" in prune("runs ls --task nothing")
    assert prune("--quiet runs ls --task nothing") == ""
    listed = json.loads(prune("runs ls --json"))
    assert [r["run_id"] for r in listed] == [r.run_id for r in store.records()]
    assert listed[0]["points"][0]["quality"]["f1"] == 58.9
    assert "did you mean done?" in prune("runs ls --status dome", code=2)


def test_a_look_does_not_make_the_folder(prune: Prune, runs: Path) -> None:
    assert "prune train +experiment=toy" in prune("runs ls")
    assert json.loads(prune("runs ls --json")) == []
    assert not runs.exists()


def test_runs_show(prune: Prune) -> None:
    store = fill()
    done = store.records(group="shapes")[0]
    text = prune(f"runs show {done.run_id[:6]}")
    for part in ("done", "f1 58.90", "0.370 stored", "31.2 -> 14.9 MB", "1.63x (1.60 to 1.66)"):
        assert part in text
    assert done.path in text.splitlines()[0]
    assert json.loads(prune(f"runs show {done.run_id} --json"))["path"] == done.path
    failed = store.records(status="failed")[0]
    assert prune(f"runs show {failed.run_id}").splitlines()[-1] == "next: prune train seed=4"
    assert "interrupted" in prune("runs show last") or "failed" in prune("runs show last")
    assert "nearest" in prune(f"runs show {done.run_id[:7]}{'0f'[done.run_id[7] == '0']}", code=1)
    assert "hex digits" in prune("runs show ../../etc/passwd", code=1)


def test_runs_rm(prune: Prune) -> None:
    store = fill()
    first = store.records()[0]
    assert "no run" in prune(f"runs rm {first.run_id} 00000000", code=1)
    assert Path(first.path).exists(), "nothing goes unless all are known"
    assert prune(f"runs rm {first.run_id[:5]}") == f"removed {first.path}\n"
    assert prune("runs rm --status interrupted").count("removed") == 1
    assert prune("runs rm --status interrupted") == ""
    assert "choices: broken, failed, interrupted" in prune("runs rm --status done", code=2)
    assert "name the runs" in prune("runs rm", code=2)
    assert len(store.records()) == 2


def test_a_broken_run_can_be_removed(prune: Prune) -> None:
    done = finished(Store())
    (Path(done.path) / "result.json").write_text("{")
    assert "broken" in prune("runs ls")
    error = prune(f"runs show {done.run_id}", code=1)
    assert f"prune runs rm {done.run_id}" in error
    prune(f"runs rm {done.run_id}")
    assert not Path(done.path).exists()


def test_db(prune: Prune, runs: Path) -> None:
    store = fill()
    assert prune("db path") == f"{runs / 'index.db'}\n"
    assert prune("db upgrade") == f"schema {HEAD}: {runs / 'index.db'}\n"
    (Path(store.records()[0].path) / "result.json").write_text("{")
    (runs / "single" / "logs").mkdir()
    (runs / "single" / "copy").mkdir()
    (runs / "single" / "copy" / "result.json").write_text("{}")
    indexed, broken, foreign = prune("db rebuild").splitlines()
    assert indexed == f"indexed 3 runs of {runs}"
    assert broken.startswith("skipped ") and "result.json is broken" in broken
    assert foreign == f"skipped {runs / 'single' / 'copy'}: not a run folder"
    assert "did you mean rebuild?" in prune("db rebuid", code=2)
    assert "rebuild|path|upgrade" in prune("db", code=2)


def test_ls(prune: Prune) -> None:
    kinds = [line.split()[0] for line in prune("ls").splitlines()]
    expected = {"experiments", "sweeps", "algorithms", "models", "tasks", "attention", "ffn"}
    assert expected | {"teachers"} <= set(kinds)
    for kind in kinds:
        for choice in json.loads(prune(f"ls {kind} --json")):
            assert choice["name"], kind
            assert choice["description"], f"{kind} {choice['name']} does not say what it is"
    names = [line.split()[0] for line in prune("ls experiments").splitlines()]
    assert names == compose.groups()["experiment"]
    assert prune("ls experiment") == prune("ls experiments")
    assert [line.split()[0] for line in prune("ls algorithms").splitlines()] == list(ALGORITHMS)
    assert "did you mean models?" in prune("ls model5", code=2)


@pytest.mark.parametrize("line", ["runs", "runs ls", "runs show", "runs rm", "db", "db path", "ls"])
def test_help_ends_in_an_example_that_runs(prune: Prune, line: str) -> None:
    fill()
    example = prune(f"{line} --help").strip().splitlines()[-1]
    assert example.startswith(f"Example: prune {line}")
    prune(example.removeprefix("Example: prune "))


def test_tables() -> None:
    rows = [("a", "1.5"), ("long", "22.25")]
    assert table(rows, right=[1]) == "a       1.5\nlong  22.25"
    assert painted("done") == "done"  # the output of a test is no terminal
