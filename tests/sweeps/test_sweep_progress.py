"""What a sweep looks like, and the front as one line."""

import dataclasses
import io

import pytest
from child import record_of
from hypothesis import given
from hypothesis import strategies as st

from prune.compose import plain
from prune.records import Record
from sweeps.outcome import Outcome, front, result
from sweeps.progress import Busy, Lines, Live, bar, clock, duration, view

RUNNING = {"step": 71, "steps": 100, "loss": 2.204, "density": 0.52}


def with_result(run_id: str, quality: float, speedup: float) -> Record:
    record = record_of(plain("+experiment=toy"))
    latency = dataclasses.replace(record.points[0].latency[0], speedup=speedup)
    point = dataclasses.replace(record.points[0], quality={"f1": quality}, latency=[latency])
    return dataclasses.replace(record, run_id=run_id, points=[point])


def test_a_slot_is_one_line() -> None:
    line = Busy(0, "#7  32x32", 71.0, RUNNING).line(12)
    assert line == (
        "slot 0   #7  32x32      ██████████████▎         71 %   loss 2.20   density 0.52   eta 0:29"
    )


@pytest.mark.parametrize(
    ("busy", "ending"),
    [
        (Busy(1, "#1  a", 3.0), "starting"),
        (Busy(1, "#1  a", 0.0), "running"),
        (Busy(1, "#1  a", 3.0, {"step": 1}), "starting"),
        (Busy(1, "#1  a", 3.0, {"step": 9, "steps": 9}), "measuring"),
        (Busy(1, "#1  a", 0.0, {"step": 1, "steps": 2}), "50 %"),
    ],
)
def test_a_slot_that_cannot_tell_how_long(busy: Busy, ending: str) -> None:
    assert busy.line().endswith(ending)


@given(st.floats(0, 1), st.integers(1, 40))
def test_a_bar_has_its_width(share: float, width: int) -> None:
    assert len(bar(share, width)) == width


def test_times_are_written_for_people() -> None:
    assert [clock(s) for s in (5, 72, 3723)] == ["0:05", "1:12", "1:02:03"]
    assert [duration(s) for s in (50, 720, 6600)] == ["50 s", "12 min", "1 h 50 min"]


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    shown = Lines(stream)
    shown.event("start", minor=True)
    shown.update([Busy(0, "a", 1.0)], "done 1 of 2")
    assert stream.getvalue() == "start\n"
    assert type(view()) is Lines and type(view(quiet=True)) is not Lines


def test_live_lines_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    shown = Live(stream)
    shown.event("start [1,1]", minor=True)
    shown.update([Busy(0, "#7  32x32", 71.0, RUNNING)], "done 6 of 21")
    shown.event("done [32,32]")
    shown.close()
    text = stream.getvalue()
    assert "start" not in text and "done [32,32]" in text
    assert "slot 0   #7  32x32" in text and "done 6 of 21" in text


def test_the_front_is_what_no_other_run_beats_in_both() -> None:
    records = [with_result("a", 60, 1.5), with_result("b", 61, 1.2), with_result("c", 59, 1.4)]
    assert front(records) == [(61, 1.2, "b"), (60, 1.5, "a")]
    outcome = Outcome(4, done={r.run_id: r for r in records}, retried=1)
    assert outcome.line() == "done 3 of 4 · retried 1 · front 2 points: 61.0@1.2x 60.0@1.5x"
    assert outcome.as_dict()["front"][0] == {"run_id": "b", "quality": 61, "speedup": 1.2}


def test_a_result_is_quality_density_and_speedup() -> None:
    assert result(with_result("a", 58.94, 1.63)) == "F1 58.9   density 0.50   speedup 1.63x"
