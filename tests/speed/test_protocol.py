"""Everything that is compared takes turns, on the same inputs, and a known ratio is found."""

import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prune.speed.protocol import Times, bootstrap, interleaved, seconds_of

CPU = torch.device("cpu")


def test_all_passes_take_turns_on_the_same_draws_after_a_warm_up() -> None:
    calls: list[tuple[str, int]] = []

    def once(name: str, seconds: float) -> float:
        return seconds

    def of(name: str, seconds: float):  # type: ignore[no-untyped-def]
        def run(draw: int) -> float:
            calls.append((name, draw))
            return seconds

        return run

    times = interleaved({"a": of("a", 3.0), "b": of("b", 1.0), "c": of("c", 0.3)}, rounds=6)
    warm = [draw for _, draw in calls if draw < 0]
    timed = [(name, draw) for name, draw in calls if draw >= 0]
    assert warm and calls[: len(warm)] == [c for c in calls if c[1] < 0], "first all warm up"
    rounds = [timed[i : i + 3] for i in range(0, 18, 3)]
    assert all({name for name, _ in r} == {"a", "b", "c"} for r in rounds)
    assert all(len({draw for _, draw in r}) == 1 for r in rounds), "the same inputs in a round"
    assert len({draw for _, draw in timed}) == 6, "others in the next"
    assert {r[0][0] for r in rounds} == {"a", "b", "c"}, "each goes first in turn"
    found = times.speedup("a", "c")
    assert found.median == found.low == found.high == pytest.approx(10)
    assert times.ms("b") == pytest.approx(1000)


def test_short_passes_are_repeated_within_a_round() -> None:
    draws: list[int] = []

    def quick(draw: int) -> float:
        draws.append(draw)
        return 0.001

    interleaved({"quick": quick}, rounds=3)
    timed = [d for d in draws if d >= 0]
    assert len(timed) == len(set(timed)) == 3 * 20


def test_a_short_pass_follows_one_of_its_own_a_long_one_need_not() -> None:
    """Each network slows the next one down by the caches it leaves: here by a tenth of a second."""
    before: list[str] = []

    def of(name: str, warm: float):  # type: ignore[no-untyped-def]
        def run(draw: int) -> float:
            own = before[-1:] == [name]
            before.append(name)
            return warm if own else warm + 0.1

        return run

    found = interleaved({"a": of("a", 0.02), "b": of("b", 0.08)}, rounds=4)
    assert found.seconds == {"a": pytest.approx([0.02] * 4), "b": pytest.approx([0.08] * 4)}
    before.clear()
    interleaved({"a": of("a", 2.0), "b": of("b", 1.0)}, rounds=4)
    assert before[-8:] == list("abbaabba"), "no pass more than needed"


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=30))
def test_the_interval_holds_the_median_and_stays_in_range(ratios: list[float]) -> None:
    low, high = bootstrap(ratios, draws=200)
    assert min(ratios) <= low <= high <= max(ratios)
    times = Times({"slow": ratios, "fast": [1.0] * len(ratios)})
    assert times.speedup("slow", "fast").median == statistics.median(ratios)


def test_seconds_are_those_of_the_call() -> None:
    assert 0.01 < seconds_of(lambda: __import__("time").sleep(0.02), CPU) < 1
