"""What benchmarks/sweep_idle.py makes of the times of a sweep's trials."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_empty_and_idle_slots_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import sweep_idle

    assert sweep_idle.SLOTS == 2
    # slot 0: 0 to 1, 1.5 to 6; slot 1: 0 to 3, 4 to 5
    spans = sweep_idle.Spans([0.0, 0.0, 1.5, 4.0], [1.0, 3.0, 5.0, 6.0])
    assert spans.empty_ms() == [500, 1000]
    assert spans.all_ms() == 6000
    # until 4.0 the slots were busy for 1 + 2.5 and for 3 of 4 s
    assert spans.idle_ms() == pytest.approx(1000 - 1000 * 6.5 / 8)
    batch = sweep_idle.Spans([0.0, 0.0, 3.0, 3.0], [1.0, 3.0, 4.0, 7.5])
    assert batch.empty_ms() == [2000, 0]
    sys.modules.pop("sweep_idle")
