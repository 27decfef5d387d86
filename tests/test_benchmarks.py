"""The benchmarks' own tools: what they claim of two calls holds for calls that we know."""

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

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
table = script("table")


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
    text = table.table(path.parent)
    assert (
        "| ours | theirs | 1.0 / 2.0 ms | 0.500 (0.400 to 0.600) | ratio ≤ 0.45 | not met |" in text
    )
