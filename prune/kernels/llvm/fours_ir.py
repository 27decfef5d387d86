"""Emits the passes over the scores of 2 of every 4: M = softmax(T S) @ patterns, where it is used.

    scale   out = M * W
    pull    g * W becomes the gradient of the scores, and g = M * g in place

For a matrix that has another mask N of groups, `beside`, too: W and g are multiplied by both, and
g * W by the other one; the sum of g * M * W in each group of N goes to `sums`. Where the passes do
not serve there is M itself, and its derivative. S is (patterns, rows, columns / 4).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prune.kernels.llvm import vectors
from prune.kernels.llvm.scores_ir import Values, columns, end, start
from prune.kernels.llvm.text import Function
from prune.kernels.llvm.vectors import LANES

FIT = range(4)
CHUNK = 4 * LANES  # weights at a time
FOUR = f"<{CHUNK} x float>"
Patterns = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Fours:
    """What is fixed when a pass is compiled."""

    patterns: Patterns
    beside: bool = False  # there is another mask, fp32, a number a group of `height` x `width`:
    wide: bool = False  # groups have a multiple of CHUNK columns; else N is a number a column


@dataclass(frozen=True)
class Here:
    """CHUNK weights of one row: their place, and what softmax(T S) gives to each pattern."""

    row: str
    i: str  # of the first four, in the whole matrix
    shares: list[str]


def mask(how: Fours) -> str:
    with _fours(how) as (f, a, here):
        f.store(FOUR, _woven(f, here.shares, how.patterns), _weight(f, a["out"], here), 4)
    return end(f)


def scale(how: Fours) -> str:
    with _fours(how) as (f, a, here):
        weights = _read(f, a["weights"], here)
        scaled = _times(f, weights, _woven(f, here.shares, how.patterns))
        if how.beside:
            scaled = _times(f, scaled, _beside(f, a, how, here))
        place = _weight(f, a["out"], here)
        f.do(f"store {FOUR} {scaled}, ptr {place}, align 64, !nontemporal !0")
    return end(f)


def back(how: Fours) -> str:
    """`gradient` is dL/dM."""
    with _fours(how) as (f, a, here):
        _back(f, a, how, here, f.load(FOUR, _weight(f, a["gradient"], here), 4))
    return end(f)


def pull(how: Fours) -> str:
    with _fours(how) as (f, a, here):
        place = _weight(f, a["gradient"], here)
        gradient = _read(f, a["gradient"], here)
        made = _woven(f, here.shares, how.patterns)
        other = _beside(f, a, how, here) if how.beside else ""
        scaled = _times(f, gradient, made)
        f.store(FOUR, _times(f, scaled, other) if other else scaled, place, 4)
        product = _times(f, gradient, _read(f, a["weights"], here))
        if other:
            _add(f, a, how, here, _times(f, product, made))
            product = _times(f, product, other)
        _back(f, a, how, here, product)
    return end(f)


def _beside(f: Function, a: Values, how: Fours, here: Here) -> str:
    """N of these weights."""
    place = f.at(a["beside"], f.mul(_group(f, a, how, here), 4))
    if not how.wide:
        return f.load(FOUR, place, 4)
    first = f.let(f"insertelement {FOUR} poison, float {f.load('float', place)}, i64 0")
    zeros = f"<{CHUNK} x i32> zeroinitializer"
    return f.let(f"shufflevector {FOUR} {first}, {FOUR} poison, {zeros}")


def _add(f: Function, a: Values, how: Fours, here: Here, product: str) -> None:
    """To the sums of this thread."""
    mine = f.mul("%thread", a["sums_stride"])
    place = f.at(a["sums"], f.mul(f.add(mine, _group(f, a, how, here)), 4))
    if how.wide:
        adds = f"call reassoc float @llvm.vector.reduce.fadd.v{CHUNK}f32"
        total = f.let(f"{adds}(float {f.load('float', place)}, {FOUR} {product})")
        f.store("float", total, place)
    else:
        f.store(FOUR, f.let(f"fadd {FOUR} {f.load(FOUR, place, 4)}, {product}"), place, 4)


def _group(f: Function, a: Values, how: Fours, here: Here) -> str:
    """Where the group of these weights is in N, or where their columns are."""
    band = f.div(here.row, a["height"])
    column = f.mul(f.sub(here.i, f.mul(here.row, a["columns"])), 4)
    across = f.mul(a["columns"], 4)
    if how.wide:
        across, column = f.div(across, a["width"]), f.div(column, a["width"])
    return f.add(f.mul(band, across), column)


def _read(f: Function, matrix: str, here: Here) -> str:
    place = _weight(f, matrix, here)
    vectors.coming(f, place, CHUNK // LANES)
    return f.load(FOUR, place, 4)


def _weight(f: Function, matrix: str, here: Here) -> str:
    return f.at(matrix, f.mul(here.i, 16))


def _times(f: Function, a: str, b: str) -> str:
    return f.let(f"fmul {FOUR} {a}, {b}")


def _back(f: Function, a: Values, how: Fours, here: Here, by: str) -> None:
    """dL/dS_p = T share_p (g_p - sum over q of share_q g_q), g_p the sum of dL/dM over p."""
    temperature = vectors.handed_over(f, a["factor"])
    places = [_every_fourth(f, by, k) for k in FIT]
    of = [_sum(f, [g for g, kept in zip(places, p, strict=True) if kept]) for p in how.patterns]
    mean = "zeroinitializer"
    for share, g in zip(here.shares, of, strict=True):
        mean = vectors.multiply_add(f, share, g, mean)
    for number, (share, g) in enumerate(zip(here.shares, of, strict=True)):
        part = vectors.times(f, vectors.times(f, temperature, share), vectors.minus(f, g, mean))
        vectors.store(f, part, _plane(f, a["out"], a["stride"], number, here.i), stream=True)


@contextmanager
def _fours(how: Fours) -> Iterator[tuple[Function, Values, Here]]:
    """The body of a loop over this thread's fours, LANES at a time."""
    f, a, rows = start()
    temperature = vectors.handed_over(f, a["factor"])
    a["columns"] = f.div(a["columns"], 4)
    with rows() as row, columns(f, a, row, LANES) as i:
        places = [_plane(f, a["scores"], a["stride"], p, i) for p in range(len(how.patterns))]
        scores = [vectors.load(f, place) for place in places]
        for place in places:
            vectors.coming(f, place)
        highest = scores[0]
        for other in scores[1:]:
            highest = vectors.most(f, highest, other)
        below = [vectors.times(f, temperature, vectors.minus(f, s, highest)) for s in scores]
        parts = [vectors.exp(f, x) for x in below]
        whole = vectors.over(f, vectors.splat(1.0), _sum(f, parts))
        yield f, a, Here(row, i, [vectors.times(f, part, whole) for part in parts])


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
