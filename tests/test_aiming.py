"""Whether a target was met: by the figure, by its interval, and by the machine's speed."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from prune import compose
from prune.aiming import Time, _Trial, verdict
from prune.config import RunConfig
from prune.masks.anatomy import Anatomy
from prune.masks.policy import Policy
from prune.masks.pruner import Pruner
from prune.records import Density, Latency, Point
from tests import tiny


def config(target: str) -> RunConfig:
    return compose.load(["+experiment=toy", "target.density=null", target])


def point(dense_ms: float, pruned_ms: float) -> Point:
    speedup = dense_ms / pruned_ms
    interval = (speedup * 0.95, speedup * 1.05)
    cell = Latency(32, 64, "eager", dense_ms, pruned_ms, speedup, *interval, 15)
    return Point("pruned", {}, Density(0.5, 0.5, 0.5), 1.0, 2.0, [cell], "model", "")


class Machine(_Trial):
    """A machine whose speed we set; a network takes as long as it has heads and neurons."""

    slow: float = 1.0  # as it is now
    noise: float = 1.0  # of this measurement

    def share(self, heads: list[int], widths: list[int]) -> float:
        self.dense_ms.append(10 * self.slow)
        return self.noise * (0.2 + 0.4 * sum(heads) / 8 + 0.4 * sum(widths) / 96)


def machine_and_time(absolute: bool) -> tuple[Machine, Time, Pruner]:
    model = tiny.bert()
    lease: Any = contextlib.nullcontext()
    machine = Machine(config("target.latency_ms=5"), model, lease)
    return machine, Time(Anatomy(model), machine, absolute), Pruner(model, Policy(), steps=40)


@pytest.mark.parametrize(
    ("target", "dense_ms", "pruned_ms", "then_ms", "said"),
    [
        ("target.speedup=2", 20.0, 9.8, 20.0, "2x met: 2.041x"),
        ("target.speedup=2", 20.0, 10.4, 20.0, "2x met within the noise of the measurement"),
        ("target.speedup=2", 20.0, 12.0, 12.0, "2x missed by 17%: 1.667x"),
        ("target.latency_ms=10", 20.0, 10.1, 20.0, "10 ms met: 10.1 ms"),
        ("target.latency_ms=10", 30.0, 15.0, 20.0,
         "10 ms met when the dense network took 20 ms; now it takes 30: 15 ms"),
        ("target.latency_ms=10", 30.0, 15.0, 30.0, "10 ms missed by 50%: 15 ms"),
        ("target.latency_ms=10", 30.0, 15.0, 0.0, "10 ms missed by 50%: 15 ms"),
        ("target.speedup=2", 20.0, 10.8, 20.0,
         "2x missed by 7%; measurements on the way differ by 8%: 1.852x"),
    ],
)  # fmt: skip
def test_a_target_is_met_or_the_line_says_by_how_much_not(
    target: str, dense_ms: float, pruned_ms: float, then_ms: float, said: str
) -> None:
    _, measured, pruner = machine_and_time(absolute=False)
    for measured.trial.noise in (1.0, 1.08):
        measured.correct(pruner)
    measured.trial.dense_ms = [then_ms]
    known = measured if then_ms else None
    line = verdict(config(target), point(dense_ms, pruned_ms), 1000, 0.5, known)
    assert line.startswith(f"target      {said}")


def test_time_is_predicted_from_widths_that_a_run_keeps() -> None:
    tried: list[int] = []

    def share(self: Machine, heads: list[int], widths: list[int]) -> float:
        tried.extend(widths)
        return Machine.share(self, heads, widths)

    machine = type("Noting", (Machine,), {"share": share})
    lease: Any = contextlib.nullcontext()
    model = tiny.bert()
    Time(Anatomy(model, 8), machine(config("target.speedup=2"), model, lease))
    assert tried and all(width % 8 == 0 for width in tried)


@pytest.mark.parametrize("absolute", [False, True])
def test_what_is_asked_in_ms_does_not_follow_every_mood_of_the_machine(absolute: bool) -> None:
    machine, time, pruner = machine_and_time(absolute)
    assert time.dense_ms == 10 and time(pruner) == pytest.approx(1)
    for machine.slow in (2.0, 0.5, 1.7, 2.0):
        time.correct(pruner)
        assert time(pruner) == pytest.approx(1)


def test_of_a_machine_that_has_become_slower_the_time_in_ms_is_longer() -> None:
    machine, time, pruner = machine_and_time(absolute=True)
    machine.slow = 2.0
    for _ in range(6):
        time.correct(pruner)
    assert time(pruner) == pytest.approx(2)


def test_what_measurements_are_off_by_cancels_out() -> None:
    machine, time, pruner = machine_and_time(absolute=True)
    for machine.noise in (1.06, 0.95, 1.0, 1.4, 0.98):
        time.correct(pruner)
    assert time(pruner) == pytest.approx(1)


def test_a_resumed_run_remembers_what_was_measured(tmp_path: Path) -> None:
    machine, time, pruner = machine_and_time(absolute=True)
    machine.noise, machine.slow = 1.2, 2.0
    for _ in range(12):
        time.correct(pruner)
    time.write(tmp_path)
    _, later, pruner = machine_and_time(absolute=True)
    later.take_up(tmp_path)
    assert later(pruner) == pytest.approx(time(pruner)) == pytest.approx(2.4)
    (tmp_path / "measured.json").unlink()  # a checkpoint of before there was one
    _, anew, pruner = machine_and_time(absolute=True)
    anew.take_up(tmp_path)
    assert anew(pruner) == pytest.approx(1)


def test_what_another_device_measured_is_not_taken_up(tmp_path: Path) -> None:
    machine, time, pruner = machine_and_time(absolute=False)
    machine.noise = 1.2
    time.correct(pruner)
    time.write(tmp_path)
    file = tmp_path / "measured.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"device": "another"}))
    _, later, pruner = machine_and_time(absolute=False)
    later.take_up(tmp_path)
    assert later(pruner) == pytest.approx(1)
