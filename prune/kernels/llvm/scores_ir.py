"""Emits the passes over scores whose masks are numbers: hard concrete, and 2 of every 4.

All of them are flat: whatever the rows are, one number (or one four) follows the other, and each
thread has a range of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prune.kernels.llvm import vectors
from prune.kernels.llvm.text import Function, kinds
from prune.kernels.llvm.vectors import FLOATS, LANES
from prune.kernels.llvm.work import arguments, entry, openmp, team

CONCRETE = kinds("ptr scores, ptr levels, ptr out, i64 count")
SOFTMAX = kinds("ptr scores, i64 stride, i64 temperature, ptr out, i64 count")
SOFTMAX_BACK = kinds("ptr scores, i64 stride, i64 temperature, ptr gradient, ptr out, i64 count")
LEVELS = 1 << 16
FOUR = f"<{4 * LANES} x float>"
SQRT = f"declare {FLOATS} @llvm.sqrt.v{LANES}f32({FLOATS})"


def module(work: str) -> str:
    """The IR of `work` and `team`."""
    parts = [openmp(), vectors.DECLARATIONS, SQRT, work, team(), vectors.PAST_CACHES]
    return "\n".join(parts)


def concrete(left: float, right: float) -> str:
    """M = clip(s (r - l) + l, 0, 1), s = sigmoid((S + ln u - ln(1 - u)) / (2/3)).

    u = (k + 1/2) / 65536 with k = level + 32768. s is a / (a + e^(-3/2 S) b), a and b being u and
    1 - u to the power of 3/2, both times 65536^(3/2).
    """
    with _flat(CONCRETE) as (f, a, i):
        shorts = f.load(f"<{LANES} x i16>", f.at(a["levels"], f.mul(i, 2)), 2)
        level = f.let(f"sitofp <{LANES} x i16> {shorts} to {FLOATS}")
        up = vectors.plus(f, level, vectors.splat(LEVELS / 2 + 0.5))
        down = vectors.minus(f, vectors.splat(LEVELS / 2 - 0.5), level)
        up, down = (vectors.times(f, x, _sqrt(f, x)) for x in (up, down))
        scores = vectors.load(f, f.at(a["scores"], f.mul(i, 4)))
        e = vectors.exp(f, vectors.times(f, scores, vectors.splat(-1.5)))
        share = vectors.over(f, up, vectors.multiply_add(f, e, down, up))
        mask = vectors.multiply_add(f, share, vectors.splat(right - left), vectors.splat(left))
        mask = vectors.least(f, vectors.most(f, mask, "zeroinitializer"), vectors.splat(1.0))
        vectors.store(f, mask, f.at(a["out"], f.mul(i, 4)))
    return f.text()


def softmax(patterns: tuple[tuple[int, ...], ...]) -> str:
    """M = softmax(T S) @ patterns. S (patterns, count) with `stride` numbers from one pattern to
    the next, M (count, 4).
    """
    with _flat(SOFTMAX) as (f, a, i):
        temperature = vectors.handed_over(f, a["temperature"])
        shares = _shares(f, a, i, temperature, len(patterns))
        places = [_sum(f, [s for s, p in zip(shares, patterns, strict=True) if p[k]]) for k in FIT]
        low, high = (_joined(f, places[k], places[k + 1], LANES) for k in (0, 2))
        both = _joined(f, low, high, 2 * LANES)
        order = ", ".join(f"i32 {k * LANES + j}" for j in range(LANES) for k in FIT)
        woven = f.let(f"shufflevector {FOUR} {both}, {FOUR} poison, <{4 * LANES} x i32> <{order}>")
        f.store(FOUR, woven, f.at(a["out"], f.mul(i, 16)), 4)
    return f.text()


def softmax_back(patterns: tuple[tuple[int, ...], ...]) -> str:
    """dL/dS_p = T share_p (g_p - sum over q of share_q g_q), g_p the sum of dL/dM over p."""
    with _flat(SOFTMAX_BACK) as (f, a, i):
        temperature = vectors.handed_over(f, a["temperature"])
        shares = _shares(f, a, i, temperature, len(patterns))
        woven = f.load(FOUR, f.at(a["gradient"], f.mul(i, 16)), 4)
        places = [_every_fourth(f, woven, k) for k in FIT]
        of = [_sum(f, [g for g, kept in zip(places, p, strict=True) if kept]) for p in patterns]
        mean = "zeroinitializer"
        for share, g in zip(shares, of, strict=True):
            mean = vectors.multiply_add(f, share, g, mean)
        for number, (share, g) in enumerate(zip(shares, of, strict=True)):
            part = vectors.times(f, vectors.times(f, temperature, share), vectors.minus(f, g, mean))
            vectors.store(f, part, _score(f, a["out"], a["stride"], number, i), stream=True)
    return f.text()


FIT = range(4)


@contextmanager
def _flat(listed: dict[str, str]) -> Iterator[tuple[Function, dict[str, str], str]]:
    """The body of a loop over this thread's share of `count`, LANES at a time."""
    f = entry()
    a = arguments(f, listed)
    turns = f.div(a["count"], LANES)
    low = f.div(f.mul(turns, "%thread"), "%threads")
    high = f.div(f.mul(turns, f.add("%thread", 1)), "%threads")
    with f.loop(f.mul(low, LANES), f.mul(high, LANES), LANES) as i:
        yield f, a, i
    vectors.seen_by_all(f)


def _score(f: Function, scores: str, stride: str, pattern: int, i: str) -> str:
    return f.at(scores, f.mul(f.add(f.mul(stride, pattern), i), 4))


def _shares(f: Function, a: dict[str, str], i: str, temperature: str, patterns: int) -> list[str]:
    """softmax(T S) of LANES fours: a vector a pattern."""
    places = [_score(f, a["scores"], a["stride"], p, i) for p in range(patterns)]
    scores = [vectors.load(f, place) for place in places]
    highest = scores[0]
    for other in scores[1:]:
        highest = vectors.most(f, highest, other)
    below = [vectors.times(f, temperature, vectors.minus(f, s, highest)) for s in scores]
    parts = [vectors.exp(f, x) for x in below]
    whole = vectors.over(f, vectors.splat(1.0), _sum(f, parts))
    return [vectors.times(f, part, whole) for part in parts]


def _sum(f: Function, terms: list[str]) -> str:
    total, *others = terms
    for term in others:
        total = vectors.plus(f, total, term)
    return total


def _sqrt(f: Function, x: str) -> str:
    return f.let(f"call {FLOATS} @llvm.sqrt.v{LANES}f32({FLOATS} {x})")


def _joined(f: Function, a: str, b: str, lanes: int) -> str:
    order = ", ".join(f"i32 {i}" for i in range(2 * lanes))
    kind = f"<{lanes} x float>"
    return f.let(f"shufflevector {kind} {a}, {kind} {b}, <{2 * lanes} x i32> <{order}>")


def _every_fourth(f: Function, woven: str, first: int) -> str:
    order = ", ".join(f"i32 {first + 4 * i}" for i in range(LANES))
    return f.let(f"shufflevector {FOUR} {woven}, {FOUR} poison, <{LANES} x i32> <{order}>")
