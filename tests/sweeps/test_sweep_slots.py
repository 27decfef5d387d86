"""Slots and devices: never more than there is; what devices a machine has; what is tried again."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.attempts import Attempts
from sweeps.executors import Ended
from sweeps.executors.devices import QUERY, answer, devices
from sweeps.executors.slots import RESERVE, Device, Slots
from sweeps.plan import Plan

TWO = [Device("GPU-a", 1000), Device("GPU-b", 2000)]
PLAIN = """\
GPU 0: NVIDIA H200 (UUID: GPU-11111111-2222-3333-4444-555555555555)
GPU 1: NVIDIA H200 (UUID: GPU-66666666-2222-3333-4444-555555555555)
"""
SLICED = """\
GPU 0: NVIDIA A100 (UUID: GPU-11111111-2222-3333-4444-555555555555)
  MIG 3g.20gb     Device  0: (UUID: MIG-aaaaaaaa-2222-3333-4444-555555555555)
  MIG 1g.5gb      Device  1: (UUID: MIG-bbbbbbbb-2222-3333-4444-555555555555)
GPU 1: NVIDIA A100 (UUID: GPU-66666666-2222-3333-4444-555555555555)
"""
MEMORY = """\
GPU-11111111-2222-3333-4444-555555555555, 40960
GPU-66666666-2222-3333-4444-555555555555, 143771
"""


def test_the_cpu_has_so_many_slots_and_who_is_alone_has_it_to_himself() -> None:
    slots = Slots(2)
    assert slots.take(None) == (0, None) and not slots.fits(None, alone=True)
    assert slots.take(500.0) == (1, None) and not slots.fits(0)
    slots.release(0)
    assert slots.take(None) == (0, None)
    slots.release(0), slots.release(1)
    assert slots.take(None, alone=True) == (0, None)
    assert not slots.fits(0)  # beside it, nothing


def test_a_job_of_unknown_size_has_a_device_until_it_is_known() -> None:
    slots = Slots(9, TWO)
    first, device = slots.take(None)
    assert device == TWO[0] and slots.take(None)[1] == TWO[1]
    assert not slots.fits(None) and not slots.fits(10)
    slots.learn(first, 300)
    assert slots.free_mb(TWO[0]) == pytest.approx(650)
    assert slots.take(300)[1] == TWO[0] and slots.take(300)[1] == TWO[0]
    assert not slots.fits(300) and slots.fits(50)


def test_jobs_of_known_size_go_where_most_is_left() -> None:
    slots = Slots(9, TWO)
    assert [slots.take(600)[1] for _ in range(3)] == [TWO[1], TWO[1], TWO[0]]
    assert slots.fits(300) and not slots.fits(900)


def test_what_needs_more_than_any_device_has_gets_one_to_itself() -> None:
    slots = Slots(9, TWO)
    assert slots.take(5000)[1] == TWO[0]
    assert slots.free_mb(TWO[0]) == 0
    alone, device = slots.take(100, alone=True)
    assert device == TWO[1] and not slots.fits(1)
    slots.learn(alone, 100)  # it ran out of memory beside others: it stays alone
    assert not slots.fits(1)


def test_what_was_adopted_holds_its_device_and_may_be_one_too_many() -> None:
    slots = Slots(1, TWO)
    assert [slots.adopt("GPU-b"), slots.adopt("GPU-gone"), slots.adopt("")] == [0, 1, 2]
    assert slots.free_mb(TWO[1]) == 0 and not slots.fits(1)


NEEDS = st.none() | st.floats(1, 3000)
STEPS = st.lists(st.tuples(st.booleans(), NEEDS, st.booleans(), st.integers(0, 9)), max_size=40)


@given(STEPS, st.integers(1, 6), st.lists(st.floats(100, 2000), max_size=3))
def test_nothing_is_ever_overcommitted(
    steps: list[tuple[bool, float | None, bool, int]], count: int, sizes: list[float]
) -> None:
    slots = Slots(count, [Device(f"GPU-{n}", size) for n, size in enumerate(sizes)])
    for leave, need, alone, which in steps:
        if leave and slots.held:
            slots.release(sorted(slots.held)[which % len(slots.held)])
        elif slots.fits(need, alone):
            slots.take(need, alone)
        held = [*slots.held.values()]
        assert len(held) <= count
        for device in slots.devices:
            here = [h for h in held if h.device == device]
            whole = [h for h in here if h.memory_mb is None]
            assert len(here) == 1 if whole else True
            used = sum(h.memory_mb or 0 for h in here)
            assert used <= device.memory_mb * (1 - RESERVE) + 1e-6
        if not slots.devices and any(h.alone for h in held):
            assert len(held) == 1


def said(listing: str) -> object:
    def ask(command: Sequence[str]) -> str:
        return MEMORY if command == QUERY else listing

    return ask


@pytest.mark.parametrize(
    ("listing", "visible", "found"),
    [
        (PLAIN, None, [("GPU-1", 40960), ("GPU-6", 143771)]),
        (PLAIN, "1", [("GPU-6", 143771)]),
        (PLAIN, "GPU-1111", [("GPU-1", 40960)]),
        (PLAIN, "", []),
        (PLAIN, "7", []),
        (SLICED, None, [("MIG-a", 20480), ("MIG-b", 5120), ("GPU-6", 143771)]),
        (SLICED, "MIG-bbbbbbbb-2222-3333-4444-555555555555", [("MIG-b", 5120)]),
    ],
)
def test_devices_are_those_of_the_driver(
    listing: str,
    visible: str | None,
    found: list[tuple[str, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = devices(said(listing), visible)  # type: ignore[arg-type]
    assert [(d.id[:5], d.memory_mb) for d in seen] == found


def test_a_machine_without_the_drivers_tool_has_none() -> None:
    assert answer(["no-such-program-here"]) == "" and answer(["false"]) == ""
    assert devices(lambda command: "") == []


def ended(plan: Plan, code: int | None = 1) -> Ended:
    return Ended(plan.trials[0].run_id, code)


def test_out_of_memory_is_tried_alone_once(grid: Plan) -> None:
    attempts, trial = Attempts(max_retries=0), grid.trials[0]
    attempts.counts[trial.run_id] = 1
    why = "OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB"
    assert attempts.again(ended(grid), why)
    assert attempts.job(trial, Path("log")).alone
    assert not attempts.again(ended(grid), why)
    assert not attempts.job(grid.trials[1], Path("log")).alone


def test_what_would_end_the_same_way_is_not_tried_again(grid: Plan) -> None:
    attempts = Attempts(max_retries=9)
    assert not attempts.again(ended(grid), "the loss is nan at step 3: lower train.lr")
    assert not attempts.again(ended(grid, 2), "attention.block does not divide")
    assert attempts.again(ended(grid, -9), "killed by SIGKILL")


def test_what_takes_too_long_is_stopped_once_an_attempt(grid: Plan) -> None:
    attempts, run_id = Attempts(timeout_s=5), grid.trials[0].run_id
    assert not attempts.late(run_id, 4) and attempts.late(run_id, 6)
    assert not attempts.late(run_id, 7)
    why = attempts.why(ended(grid, 75), "", Path("log"))
    assert why == "took more than 5 s" and attempts.again(ended(grid, 75), why)
    assert attempts.late(run_id, 6)
    assert not Attempts().late(run_id, 1e9)


def test_memory_is_declared_or_learned_from_a_run_of_the_kind(grid: Plan, whole: Plan) -> None:
    attempts, trial = Attempts(), grid.trials[0]
    assert attempts.job(trial, Path("log")).memory_mb is None
    assert attempts.learn(trial, {"step": 3}) is None
    assert attempts.learn(trial, {"memory_mb": 1000}) == pytest.approx(1100)
    assert attempts.learn(trial, {"memory_mb": 500}) == pytest.approx(1100)
    assert attempts.job(grid.trials[1], Path("log")).memory_mb == pytest.approx(1100)
    assert attempts.job(whole.first[0], Path("log")).memory_mb is None  # another kind
    assert Attempts(memory_mb=70).job(trial, Path("log")).memory_mb == 70
