"""Emits the passes over the scores of 2 of every 4: M = softmax(T S) @ patterns, where it is used.

    scale   out = M * W
    pull    g * W becomes the gradient of the scores, and g = M * g in place

For a matrix that has another mask there is M itself, too, and its derivative. S is (patterns, rows,
columns / 4).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prune.kernels.llvm import vectors
from prune.kernels.llvm.scores_ir import Values, columns, end, start
from prune.kernels.llvm.text import Function
from prune.kernels.llvm.vectors import LANES

FIT = range(4)
FOUR = f"<{4 * LANES} x float>"
Patterns = tuple[tuple[int, ...], ...]


def mask(patterns: Patterns) -> str:
    with _fours(patterns) as (f, a, shares, i):
        f.store(FOUR, _woven(f, shares, patterns), f.at(a["out"], f.mul(i, 16)), 4)
    return end(f)


def scale(patterns: Patterns) -> str:
    with _fours(patterns) as (f, a, shares, i):
        weights = f.load(FOUR, f.at(a["weights"], f.mul(i, 16)), 4)
        scaled = f.let(f"fmul {FOUR} {weights}, {_woven(f, shares, patterns)}")
        place = f.at(a["out"], f.mul(i, 16))
        f.do(f"store {FOUR} {scaled}, ptr {place}, align 64, !nontemporal !0")
    return end(f)


def back(patterns: Patterns) -> str:
    """`gradient` is dL/dM."""
    with _fours(patterns) as (f, a, shares, i):
        _back(f, a, shares, patterns, f.load(FOUR, f.at(a["gradient"], f.mul(i, 16)), 4), i)
    return end(f)


def pull(patterns: Patterns) -> str:
    with _fours(patterns) as (f, a, shares, i):
        place = f.at(a["gradient"], f.mul(i, 16))
        gradient = f.load(FOUR, place, 4)
        scaled = f.let(f"fmul {FOUR} {gradient}, {_woven(f, shares, patterns)}")
        f.store(FOUR, scaled, place, 4)
        weights = f.load(FOUR, f.at(a["weights"], f.mul(i, 16)), 4)
        _back(f, a, shares, patterns, f.let(f"fmul {FOUR} {gradient}, {weights}"), i)
    return end(f)


def _back(f: Function, a: Values, shares: list[str], patterns: Patterns, by: str, i: str) -> None:
    """dL/dS_p = T share_p (g_p - sum over q of share_q g_q), g_p the sum of dL/dM over p."""
    temperature = vectors.handed_over(f, a["factor"])
    places = [_every_fourth(f, by, k) for k in FIT]
    of = [_sum(f, [g for g, kept in zip(places, p, strict=True) if kept]) for p in patterns]
    mean = "zeroinitializer"
    for share, g in zip(shares, of, strict=True):
        mean = vectors.multiply_add(f, share, g, mean)
    for number, (share, g) in enumerate(zip(shares, of, strict=True)):
        part = vectors.times(f, vectors.times(f, temperature, share), vectors.minus(f, g, mean))
        vectors.store(f, part, _plane(f, a["out"], a["stride"], number, i), stream=True)


@contextmanager
def _fours(patterns: Patterns) -> Iterator[tuple[Function, Values, list[str], str]]:
    """The body of a loop over this thread's fours, LANES at a time, and softmax(T S) of them."""
    f, a, rows = start()
    temperature = vectors.handed_over(f, a["factor"])
    a["columns"] = f.div(a["columns"], 4)
    with rows() as row, columns(f, a, row, LANES) as i:
        places = [_plane(f, a["scores"], a["stride"], p, i) for p in range(len(patterns))]
        scores = [vectors.load(f, place) for place in places]
        highest = scores[0]
        for other in scores[1:]:
            highest = vectors.most(f, highest, other)
        below = [vectors.times(f, temperature, vectors.minus(f, s, highest)) for s in scores]
        parts = [vectors.exp(f, x) for x in below]
        whole = vectors.over(f, vectors.splat(1.0), _sum(f, parts))
        yield f, a, [vectors.times(f, part, whole) for part in parts], i


def _plane(f: Function, scores: str, stride: str, pattern: int, i: str) -> str:
    return f.at(scores, f.mul(f.add(f.mul(stride, pattern), i), 4))


def _woven(f: Function, shares: list[str], patterns: Patterns) -> str:
    """M of LANES fours: what the patterns with a place share, place by place."""
    places = [_sum(f, [s for s, p in zip(shares, patterns, strict=True) if p[k]]) for k in FIT]
    low, high = (_joined(f, places[k], places[k + 1], LANES) for k in (0, 2))
    both = _joined(f, low, high, 2 * LANES)
    order = ", ".join(f"i32 {k * LANES + j}" for j in range(LANES) for k in FIT)
    return f.let(f"shufflevector {FOUR} {both}, {FOUR} poison, <{4 * LANES} x i32> <{order}>")


def _joined(f: Function, a: str, b: str, lanes: int) -> str:
    order = ", ".join(f"i32 {i}" for i in range(2 * lanes))
    kind = f"<{lanes} x float>"
    return f.let(f"shufflevector {kind} {a}, {kind} {b}, <{2 * lanes} x i32> <{order}>")


def _every_fourth(f: Function, woven: str, first: int) -> str:
    order = ", ".join(f"i32 {first + 4 * i}" for i in range(LANES))
    return f.let(f"shufflevector {FOUR} {woven}, {FOUR} poison, <{LANES} x i32> <{order}>")


def _sum(f: Function, terms: list[str]) -> str:
    total, *others = terms
    for term in others:
        total = vectors.plus(f, total, term)
    return total
