"""`prune report` from the store to the folder."""

import dataclasses
import hashlib
import json
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.command import main, parser
from analysis.folder import write_files
from prune import cli, config
from prune.errors import MissingInputError, PruneError, UsageError
from prune.records import Density, Latency, Point, Record
from prune.store import Store
from tests.analysis.conftest import Filled
from tests.analysis.synthetic import record, store

ROOT = Path(__file__).parents[2]
FILES = {
    *("index.html", "front.md", "points.csv", "pareto_squad.png", "pareto_squad.svg"),
    *("pareto_squad.pdf", "pareto_squad_speedup.svg", "pareto_squad_density.svg"),
    *(f"layers_squad.{form}" for form in ("png", "svg", "pdf")),
}


def through_the_store(runs: Path, seed: int) -> Record:
    """A run as `prune train` records it: locked folder, checked evidence, index."""
    part = config.PartConfig(name="block", algorithm="topk", block=[32, 32])
    pair = dataclasses.replace(part, name="neurons", geometry="rows", sharing="pair")
    asked = config.RunConfig(seed=seed, attention=part, ffn=pair)
    overrides = ["+experiment=toy", f"seed={seed}"]
    speedup = 1.2 + seed / 5
    cell = Latency(32, 64, "eager", 10.0, 10 / speedup, speedup, speedup - 0.1, speedup + 0.1, 7)
    weights = bytes(1_000_000)
    with Store().open_run(asked, overrides) as folder:
        folder.model_dir.mkdir(exist_ok=True)
        (folder.model_dir / "model.safetensors").write_bytes(weights)
        digest = hashlib.sha256(weights).hexdigest()
        point = Point(
            *("pruned", {"f1": 97.0 - seed, "exact_match": 95.0}, Density(0.5, 0.5, 0.6)),
            *(1.0, 2.0, [cell], "model", digest, [2, 2], [512, 512]),
        )
        return folder.finish(
            Record(
                *(folder.run_id, "single", "done", "toy", "toy", "f1"),
                config=config.as_dict(asked),
                overrides=overrides,
                points=[point],
                reference={"f1": 98.0},
            )
        )


def test_from_real_runs_to_the_folder(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [through_the_store(runs, seed) for seed in range(3)]
    out = tmp_path / "report"
    assert main(["--pareto", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("toy · 3 pruned points, 3 on the front · dense F1 98.0\n")
    assert re.search(
        r"97\.0 +1\.20x \(1\.10-1\.30\) +0\.50 +hybrid 32x32 +" + made[0].run_id, printed
    )
    assert printed.rstrip().splitlines()[-1].startswith(f"{out}/index.html · ")
    assert {path.name.replace("toy", "squad") for path in out.iterdir()} == FILES
    assert "prune train +experiment=toy seed=2" in (out / "front.md").read_text()


def test_runs_without_a_result_are_counted(
    filled: Filled, capsys: pytest.CaptureFixture[str]
) -> None:
    root = filled(store(10))
    for name, text in {"0000aaaa": "seed: 0\n", "0000bbbb": "seed: 1\n"}.items():
        (root / "single" / name).mkdir()
        (root / "single" / name / "config.yaml").write_text(text)
    (root / "single" / "0000cccc").mkdir()
    (root / "single" / "0000cccc" / "result.json").write_text('{"format": 1, "run')
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "3 runs without a result: 1 broken, 2 interrupted" in printed


def test_an_empty_store_says_what_to_do(runs: Path) -> None:
    with pytest.raises(MissingInputError, match=r"no runs in .* yet; make one with: prune"):
        main(["--pareto"])
    (runs / "single" / "0000aaaa").mkdir(parents=True)
    with pytest.raises(MissingInputError, match="1 run without a result: 1 interrupted; see"):
        main([])


@pytest.mark.parametrize("text", ["task=mnli", "batch=7"])
def test_a_filter_that_matches_nothing_says_what_there_is(filled: Filled, text: str) -> None:
    filled(store(10))
    with pytest.raises(MissingInputError) as caught:
        main([text])
    message = str(caught.value)
    assert f"no point matches {text}; there are 11: task squad" in message
    assert "hybrid 32x32" in message and "1 x 128, 32 x 128" in message


def test_filters_choose_the_points(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    filled([*store(20), *store(10, "toy")])
    assert main(["task=toy", "--csv", "family~hybrid"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 1 + 2 and all("toy" in row for row in rows[1:])


def test_json_is_one_object_with_everything(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(store(20))
    out = tmp_path / "report"
    assert (
        main(["--pareto", "--json", "--x", "size", "--rule", "staircase", "--out", str(out)]) == 0
    )
    (task,) = (found := json.loads(capsys.readouterr().out))["tasks"]
    assert task["x"] == "size_mb" and task["pruned_points"] == 20 and task["hypervolume"] is None
    assert all(point["on_front"] for point in task["points"])
    assert {Path(path).name for path in found["files"]} == FILES | {
        "pareto_squad_size.svg",
        *(f"blocks_squad.{form}" for form in ("png", "svg", "pdf")),
    }


def test_the_folder_is_whole_or_the_old_one(filled: Filled, tmp_path: Path) -> None:
    filled(store(10))
    out = tmp_path / "report"
    (out / "front.md").mkdir(parents=True)  # a folder where a file has to go
    (out / "index.html").write_text("the old page")
    with pytest.raises(PruneError, match=r"cannot write the report to .*--out"):
        main(["--pareto", "--out", str(out)])
    assert (out / "index.html").read_text() == "the old page"
    assert not list(out.glob(".*"))
    with pytest.raises(UsageError, match="is a file: name a folder"):
        write_files(out / "index.html", {"a": b""})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--pareo"], "did you mean --pareto"),
        (["--x", "price"], "invalid choice: 'price'"),
        (["--json", "--csv"], "not allowed with"),
        (["speedup"], "is not a filter"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        main(arguments)


def test_options_and_filters_may_be_mixed() -> None:
    options = parser().parse_intermixed_args(["task=toy", "--pareto", "seed=1", "--x", "size"])
    assert options.filters == ["task=toy", "seed=1"] and options.pareto and options.x == "size"


def test_the_example_of_the_help_runs(
    filled: Filled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled(store(10, "toy"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "--help"]) == 0
    example = capsys.readouterr().out.rstrip().splitlines()[-1]
    words = shlex.split(example.removeprefix("Example: "))
    assert words[0] == "prune" and cli.main(words[1:]) == 0
    assert (tmp_path / "report" / "index.html").is_file()


def test_a_report_never_loads_torch(filled: Filled, tmp_path: Path) -> None:
    filled([record(random.Random(1), "structured", 0.3), *store(5)])
    code = (
        "import sys; from analysis.command import main; main(sys.argv[1:]); "
        "sys.exit(any(m.split('.')[0] in ('torch', 'transformers') for m in sys.modules))"
    )
    command = [sys.executable, "-c", code, "--pareto", "--out", str(tmp_path / "report")]
    assert subprocess.run(command, cwd=ROOT).returncode == 0
