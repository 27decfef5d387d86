"""The benchmarks' own tools: what they claim of two calls holds for calls that we know."""

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).parents[1] / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks its module up there
    spec.loader.exec_module(module)
    return module


common = script("common")
block_sparse_table = script("block_sparse_table")
front_table = script("front_table")
table = script("table")
cases = script("block_sparse_cases")


def test_the_two_sides_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    ours, theirs = common.paired(lambda: calls.append("a"), lambda: calls.append("b"), warmup=3)
    assert len(ours) == len(theirs) == common.MIN_PAIRS
    assert len(calls) == 2 * (common.MIN_PAIRS + 3)
    pairs = list(zip(calls[::2], calls[1::2], strict=True))
    assert all(set(pair) == {"a", "b"} for pair in pairs)
    assert {pair[0] for pair in pairs} == {"a", "b"}, "either side goes first in turn"


def test_a_known_ratio_is_found() -> None:
    calls = (lambda: time.sleep(0.006), lambda: time.sleep(0.002))
    row = common.compare(("slow", "fast"), calls, "ratio", 5.0)
    assert 1.5 < row.ratio < 4
    assert row.ratio_low <= row.ratio <= row.ratio_high
    assert row.met


def test_few_pairs_are_no_evidence() -> None:
    with pytest.raises(ValueError, match="at least 20"):
        common.paired(lambda: None, lambda: None, pairs=5)


@given(st.lists(st.floats(0.1, 10), min_size=20, max_size=40))
def test_the_interval_holds_the_median_and_stays_in_range(values: list[float]) -> None:
    low, high = common.median_interval(values, draws=200)
    assert min(values) <= low <= high <= max(values)


def test_what_is_written_is_read_back_and_becomes_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    rows = [common.Row("ours", "theirs", 20, 1.0, 2.0, 0.5, 0.4, 0.6, "ratio", 0.45)]
    path = common.write("trial", rows, threads=1, about="A trial")
    content, again = common.read(path)
    assert again == rows
    assert content["environment"]["threads"] == 1
    assert path.parent.parent == tmp_path / "results", "by machine"
    text = table.everything(tmp_path / "results")
    assert (
        "| ours | theirs | 1.0 / 2.0 ms | 0.500 (0.400 to 0.600) | ratio ≤ 0.45 | not met |" in text
    )
    goals = table.headlines(tmp_path / "results")
    assert "| ours | theirs | ratio ≤ 0.45 | 0.500 (0.400 to 0.600) **not met** |" in goals


def test_two_machines_are_two_columns_and_neither_hides_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    for name, ms in (("Old One", 9.0), ("New One", 3.0)):
        monkeypatch.setattr(common, "_processor", lambda name=name: name)
        row = common.Row("start", "bare", 20, ms, 1.0, ms, ms, ms, "ms", 5)
        common.write("trial", [row], 1, "A trial", merge=True)
    goals = table.headlines(tmp_path)
    assert "| what was missed somewhere | against | goal | New One | Old One |" in goals
    assert "Of 2 goals, counted once a machine, 1 were met." in goals
    assert "| start | bare | ≤ 5 ms | 3 / 1 ms | 9 / 1 ms **not met** |" in goals
    text = table.everything(tmp_path)
    assert "/new-one/trial.json" in text and "/old-one/trial.json" in text


def test_published_networks_are_a_line_each_and_all_their_sizes_are_on_the_page(
    tmp_path: Path,
) -> None:
    def row(name: str, kind: str, ratio: float, cell: str = table.CELL) -> common.Row:
        names = f"{name}, {kind}, {cell}", f"BERT-base, {kind}"
        times = (20, 1.0, 2.0, ratio, ratio, ratio)
        return common.Row(*names, *times, "speedup", None, shown=False, ideal=4.0)

    rows = [row("one", "eager", 0.5), row("two", "eager", 0.25), row("one", "onnx", 0.4)]
    rows += [row("one", "eager", 0.8, "32 x 128"), row("one", "eager", 0.2, "8 x 128 real")]
    common.write("shapes", rows, 1, "Shapes", folder=tmp_path / "here")
    text = table.headlines(tmp_path)
    assert "| one | 2.00x | 2.50x |" in text and "| two | 4.00x |  |" in text
    # Of several machines of one maker README has the newest, whatever their folders are called.
    old = common.read(tmp_path / "here" / "shapes.json")[0]
    old["date"], old["rows"][0]["ratio"] = "2020-01-01", 0.1
    for folder in (tmp_path / "elder", tmp_path / "there"):
        folder.mkdir()
        (folder / "shapes.json").write_text(json.dumps(old))
    assert "| one | 2.00x | 2.50x |" in table.headlines(tmp_path)
    page = table.everything(tmp_path)
    assert "| network | runtime | 8 x 128 | 32 x 128 | 8 x 128 real |" in page
    assert "| one | eager | 2.00x, 50% | 1.25x, 31% | 5.00x, 125% |" in page
    assert "| one | onnx | 2.50x, 62% |  |  |" in page


def test_a_speedup_is_the_inverse_and_a_fact_has_no_goal() -> None:
    times = ([2.0] * 20, [8.0] * 20)
    row = common.row_of(("small", "dense"), times, "speedup", 5.0, ideal=5.0)
    assert not row.met and row.wanted == "≥ 5x"
    assert row.found == "4.00x (4.00 to 4.00), 80% of ideal"
    fact = common.row_of(("small", "dense"), times, "speedup", None)
    assert fact.met and fact.wanted == ""
    assert table.line(fact).endswith("| 4.00x (4.00 to 4.00) |  |  |")


def test_parts_are_merged_and_rows_that_are_not_shown_stay_in_the_file(tmp_path: Path) -> None:
    def part(what: str, ms: float, shown: bool = True) -> None:
        made = common.Row(what, "b", 20, ms, 1.0, ms, ms, ms, "ratio", None, shown=shown)
        common.write("parts", [made], 1, "Parts", merge=True, folder=tmp_path / "results" / "here")

    part("first", 1.0), part("second", 2.0, shown=False), part("first", 3.0)
    _, rows = common.read(tmp_path / "results" / "here" / "parts.json")
    assert [(row.what, row.ratio) for row in rows] == [("first", 3.0), ("second", 2.0)]
    text = table.everything(tmp_path / "results")
    assert "| first |" in text and "second" not in text and "with 2 rows" in text


def test_rows_of_another_machine_are_not_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = common.Row("a", "b", 20, 1.0, 1.0, 1.0, 1.0, 1.0, "ratio", None)
    monkeypatch.setattr(common, "_processor", lambda: "another")
    common.write("parts", [row], 1, "Parts", merge=True, folder=tmp_path)
    monkeypatch.undo()
    new = common.Row("c", "b", 20, 1.0, 1.0, 1.0, 1.0, 1.0, "ratio", None)
    path = common.write("parts", [new], 1, "Parts", merge=True, folder=tmp_path)
    assert [row.what for row in common.read(path)[1]] == ["c"]


def case(ratio: float, **facts: Any) -> Any:
    """A row of `block_sparse.json`, fp32 on one thread unless `facts` say otherwise."""
    known = {"part": "grid", "threads": 1, "dtype": "fp32", "shape": "768x768", "tokens": 1024}
    known |= {"block": 32, "density": 0.25, "backend": "llvm", "memory": 1.01}
    times = ("a", "F.linear (MKL)", 20, 1.0, 2.0, ratio, ratio, ratio, "ratio", 1.0)
    return block_sparse_table.Case(*times, **(known | facts))


def merged(folder: Path, part: str, threads: int, *found: Any) -> str:
    cases.merge(cases.Setting("cpu", threads, False), part, found, folder / "here")
    return str(table.everything(folder))


def test_parts_are_merged_and_become_one_short_table(tmp_path: Path) -> None:
    layer = {"part": "layer", "shape": "layer"}
    merged(tmp_path, "layer", 1, case(0.98, **layer, density=0.95), case(0.28, **layer))
    merged(tmp_path, "layer", 1, case(1.02, **layer, density=0.95), case(0.26, **layer))
    merged(tmp_path, "layer", 2, case(0.97, **layer, density=0.95, threads=2))
    text = merged(
        tmp_path,
        "grid",
        1,
        *(case(ratio) for ratio in (0.25, 0.5)),
        case(1.3, density=1.0),
        case(1.04, density=1.0, backend="auto", memory=0.0),
    )
    assert "fp32, 1 thread | fp32, 2 threads |" in text
    rows = {line.split(" | ")[0]: line for line in text.splitlines()}
    parity = rows["| a layer's six linears, 32x32, density 0.95: time"]
    assert "1.020 (1.020 to 1.020) **not met** | 0.970 (0.970 to 0.970) |" in parity
    assert "96% (96% to 96%) |  |" in rows["| the same, density 0.25: share of the ideal speedup"]
    share = "| all shapes, tokens, blocks, density 0.25: that share, forward, median (least)"
    assert "75% (50%) **not met**" in rows[share], "of 100 % and 50 %"
    auto = rows["| `auto`, all of these and all densities: time, most"]
    assert "| 1.040 |" in auto, "where auto is something else than the kernel, that counts"
    assert "| 1.010 |" in rows["| memory over density, most"]
    assert not any("torch BSR" in line for line in rows), "a claim without a case is left out"


def test_results_of_two_machines_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged(tmp_path, "grid", 1, case(0.5))
    path = tmp_path / "here" / "block_sparse.json"
    before = path.read_bytes()
    monkeypatch.setattr(common, "_processor", lambda: "another")
    with pytest.raises(SystemExit, match="another machine"):
        merged(tmp_path, "grid", 1, case(0.4))
    assert path.read_bytes() == before


def test_many_rows_are_a_line_each() -> None:
    content = {"benchmark": "x", "rows": [{"a": i, "b": "text"} for i in range(150)]}
    text = common.text(content)
    assert json.loads(text) == content and len(text.splitlines()) < 160


def test_a_record_names_no_folder_of_the_machine() -> None:
    shown = script("sweep_front").without_folders
    inner = "'experiment:dense model.name_or_path={} task.data_dir={}'"
    asked = "model.name_or_path=" + inner.format("/data/minilm", "/data/SST-2")
    assert shown(asked) == "model.name_or_path=" + inner.format("minilm", "SST-2")
    assert shown(["task.data_dir=/data/SST-2", 1]) == ["task.data_dir=SST-2", 1]
    assert shown({"path": "/data/runs/x/8892d9e3"}) == {"path": "8892d9e3"}
    for text in ("measure.grid=[[8,64]]", "attention=a/b ../c", "+experiment=x"):
        assert shown(text) == text


def test_a_front_is_a_line_a_way_in_the_order_of_its_densities(tmp_path: Path) -> None:
    def front(way: str, each: float, quality: dict[str, float]) -> dict[str, Any]:
        return {"way": way, "each": each, "steps": 1000, "quality": quality}

    trunk_first = {"0.1": 70.04, "0.8": 80.0, "0.25": 75.0}
    fronts = [
        front("own", 1.0, {"0.8": 81.0, "0.25": 76.0, "0.1": 71.0}),
        front("forked", 0.5, trunk_first),
        front("forked", 0.61, trunk_first | {"0.8": 82.0}),
    ]
    (tmp_path / "front_cost_x.json").write_text(json.dumps({"fronts": fronts}))
    begin, end = "<!-- front_cost_x: made by benchmarks/table.py -->\n", "<!-- /front -->"
    page = front_table.updated(f"before\n\n{begin}old\n{end}\n\nafter", tmp_path)
    lines = page.splitlines()
    assert lines[0] == "before" and lines[-1] == "after" and "old" not in lines
    assert lines[4].endswith("| 0.8 | 0.25 | 0.1 | mean |")
    assert lines[6] == "| own | 1.00 | 1,000 | 81.0 | 76.0 | 71.0 | 76.0 |"
    forked = "81.0 (80.0-82.0) | 75.0 (75.0) | 70.0 (70.0) | 75.3"
    assert lines[7] == f"| forked | 0.50-0.61 | 1,000 | {forked} |"
    assert front_table.updated(page, tmp_path) == page
