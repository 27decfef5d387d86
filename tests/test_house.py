"""The house as a whole: what lies where, how big, how light; and a wheel of it stands alone."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("prune", "sweeps", "analysis")
TOP = {
    ".ci",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "analysis",
    "benchmarks",
    "conf",
    "constraints.txt",
    "docs",
    "prune",
    "pyproject.toml",
    "sweeps",
    "tests",
}


def tracked() -> list[Path]:
    """Every file of the checkout that git knows or would add, relative to its root."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [Path(line) for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def sources() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def test_the_top_level_is_fixed() -> None:
    assert {path.parts[0] for path in tracked()} == TOP


def test_no_file_is_long_and_each_says_what_it_is_for() -> None:
    for path in sources():
        text = (ROOT / path).read_text()
        limit = 400 if path.parts[0] == "tests" else 250
        assert len(text.splitlines()) <= limit, f"{path} is longer than {limit} lines"
        if text.strip():
            assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


def test_no_function_is_longer_than_50_lines() -> None:
    for path in sources():
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 50, f"{path}:{node.lineno} {node.name} has {length} lines"


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    place = re.compile(r"(?<![\w.}])/(?:home|root|work|Users|opt|mnt)/\w")
    for path in tracked():
        text = (ROOT / path).read_text(errors="ignore")
        for number, line in enumerate(text.splitlines(), 1):
            assert not place.search(line), f"{path}:{number} {line.strip()[:80]}"


def test_nothing_loads_a_pickle_or_runs_remote_code() -> None:
    bad = re.compile(
        r"^\s*(import|from) (pickle|joblib|dill)\b|remote_code=True|weights_only=False"
    )
    for path in sources():
        if path.parts[0] in PACKAGES:
            for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
                assert not bad.search(line), f"{path}:{number} {line.strip()}"


def test_make_help_names_every_target() -> None:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert re.findall(r"^make (\S+)", done.stdout, re.MULTILINE) == phony[1].split()


def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


# --- light -----------------------------------------------------------------------------------

LOADED = """
import runpy, sys
sys.argv = ["prune", *sys.argv[1:]]
try:
    runpy.run_module("prune", run_name="__main__")
except SystemExit:
    pass
print("LOADED", *sorted(set(sys.modules) & {names}))
"""
HEAVY = {"torch", "transformers", "datasets"}
ALL = HEAVY | {"hydra", "omegaconf", "optuna", "sqlalchemy", "pandas", "matplotlib", "rich"}


def loaded(words: list[str], names: set[str], cwd: Path) -> list[str]:
    """Which of `names` are imported once `prune WORDS` has ended."""
    code = LOADED.replace("{names}", repr(names))
    command = [sys.executable, "-P", "-c", code, *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    assert last.startswith("LOADED"), done.stderr
    return last.split()[1:]


def test_import_prune_is_light(tmp_path: Path) -> None:
    code = f"import sys, prune; print(*sorted(set(sys.modules) & {ALL}))"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("words", [["--help"], [], ["tarin"]], ids=" ".join)
def test_help_loads_nothing(words: list[str], tmp_path: Path) -> None:
    assert loaded(words, ALL, tmp_path) == []


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "block_shapes", "--dry-run"],
        ["sweep", "--help"],
        ["report", "--help"],
        ["report", "--pareto"],
        ["runs", "ls"],
        ["ls", "experiments"],
        ["train", "+experiment=toy", "train.lrr=1"],
    ],
    ids=" ".join,
)
def test_these_never_load_torch(words: list[str], runs: Path, tmp_path: Path) -> None:
    assert loaded(words, HEAVY, tmp_path) == []


# --- a wheel stands alone --------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built from a copy: nothing of an earlier build gets into it."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in tracked():
        target = folder / "source" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target)
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(folder / "source"))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    target = wheel.parent / "site"
    pip("install", "--no-deps", "--no-compile", "--target", str(target), str(wheel))
    return target


def pip(*words: str) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-index"]
    command = [sys.executable, "-m", "pip", words[0], *quiet, *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_every_source_and_every_yaml(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {str(path) for path in tracked() if path.parts[0] in PACKAGES}
    expected |= {f"prune/{path}" for path in tracked() if path.parts[0] == "conf"}
    assert inside == expected


def test_an_installed_wheel_runs_from_a_folder_with_decoys(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for decoy in PACKAGES[1:]:
        (tmp_path / decoy).mkdir()
        (tmp_path / decoy / "__init__.py").write_text("raise SystemExit('the decoy was imported')")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "train.yaml").write_text("decoy: true\n")
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("PRUNE_RUNS", str(tmp_path / "runs"))

    def python(*words: str) -> str:
        command = [sys.executable, "-P", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = python("-c", "from prune import compose; print(compose.conf_dir())")
    assert where.strip() == str(installed / "prune" / "conf")
    assert "prune train" in python("-m", "prune", "--help")
    assert "prune train" in python("-m", "prune", "sweep", "toy", "--dry-run")
    assert "--pareto" in python("-m", "prune", "report", "--help")
