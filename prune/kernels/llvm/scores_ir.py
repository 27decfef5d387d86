"""Emits the passes over scores whose masks M are numbers: M is made where it is used, never stored.

    scale   out = M * W
    pull    g * W becomes the gradient of the scores, and g = M * g in place

Of 2 of every 4 there is M itself, too, and its derivative, for a matrix that has another mask.
Each thread has a range of rows.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from prune.kernels.llvm import vectors
from prune.kernels.llvm.text import Function, kinds
from prune.kernels.llvm.vectors import FLOATS, INTS, LANES
from prune.kernels.llvm.work import arguments, entry, openmp, team

ARGUMENTS = kinds(
    "ptr scores, i64 offset, i64 word, i64 other, ptr weights, ptr gradient, ptr out, ptr highest, "
    "i64 stride, i64 factor, i64 rows, i64 columns"
)
LEVELS = 1 << 16  # of the noise
MIX = 0x7FEB352D, 0x846CA68B  # prune/masks/noise.py says what for
FIT = range(4)
FOUR = f"<{4 * LANES} x float>"
SQRT = f"declare {FLOATS} @llvm.sqrt.v{LANES}f32({FLOATS})"
Patterns = tuple[tuple[int, ...], ...]
Values = dict[str, str]


@dataclass(frozen=True)
class Concrete:
    """A hard concrete mask of temperature 2/3: clip(s (right - left) + left, 0, 1).

    s = sigmoid((S - offset + ln u - ln(1 - u)) / (2/3)), u = (k + 1/2) / 65536, k the level.
    slope: (most, falls, edge), dM/dS is most - falls * (M - 1/2)^2, or 0 if that is not above edge.
    A pull adds `factor` times the derivative of sigmoid(S - shift).
    """

    left: float
    right: float
    slope: tuple[float, float, float]
    shift: float


def module(work: str) -> str:
    """The IR of `work` and `team`."""
    parts = [openmp(), vectors.DECLARATIONS, SQRT, work, team(), vectors.PAST_CACHES]
    return "\n".join(parts)


# --- hard concrete ------------------------------------------------------------------------------


def concrete_scale(how: Concrete) -> str:
    """`highest`: (rows, LANES), whose maximum is that of M in the row."""
    f, a, rows = _start()
    highest = f.slot(FLOATS)
    with rows() as row:
        f.store(FLOATS, "zeroinitializer", highest)
        with _columns(f, a, row, LANES) as i:
            mask = _concrete(f, a, how, _score(f, a, i), i)
            f.store(FLOATS, vectors.most(f, f.load(FLOATS, highest), mask), highest)
            weights = vectors.load(f, f.at(a["weights"], f.mul(i, 4)))
            scaled = vectors.times(f, mask, weights)
            vectors.store(f, scaled, f.at(a["out"], f.mul(i, 4)), stream=True)
        place = f.at(a["highest"], f.mul(row, 4 * LANES))
        vectors.store(f, f.load(FLOATS, highest), place)
    return _end(f)


def concrete_pull(how: Concrete) -> str:
    f, a, rows = _start()
    rate = vectors.handed_over(f, a["factor"])
    with rows() as row, _columns(f, a, row, LANES) as i:
        scores = _score(f, a, i)
        mask = _concrete(f, a, how, scores, i)
        place = f.at(a["gradient"], f.mul(i, 4))
        gradient = vectors.load(f, place)
        vectors.store(f, vectors.times(f, gradient, mask), place)
        weights = vectors.load(f, f.at(a["weights"], f.mul(i, 4)))
        pulled = vectors.times(f, vectors.times(f, gradient, weights), _slope(f, mask, how))
        pulled = vectors.multiply_add(f, rate, vectors.sigmoid_slope(f, scores, how.shift), pulled)
        vectors.store(f, pulled, f.at(a["out"], f.mul(i, 4)), stream=True)
    return _end(f)


def _score(f: Function, a: Values, i: str) -> str:
    return vectors.load(f, f.at(a["scores"], f.mul(i, 4)))


def _concrete(f: Function, a: Values, how: Concrete, scores: str, i: str) -> str:
    """M. s is a / (a + e^(-3/2 (S - offset)) b), a and b being u and 1 - u to the power of 3/2."""
    level = _level(f, a, i)
    up = vectors.plus(f, level, vectors.splat(0.5))
    down = vectors.minus(f, vectors.splat(LEVELS - 0.5), level)
    up, down = (vectors.times(f, x, _sqrt(f, x)) for x in (up, down))
    own = vectors.minus(f, scores, vectors.handed_over(f, a["offset"]))
    e = vectors.exp(f, vectors.times(f, own, vectors.splat(-1.5)))
    share = vectors.over(f, up, vectors.multiply_add(f, e, down, up))
    width, left = vectors.splat(how.right - how.left), vectors.splat(how.left)
    mask = vectors.multiply_add(f, share, width, left)
    return vectors.least(f, vectors.most(f, mask, "zeroinitializer"), vectors.splat(1.0))


def _level(f: Function, a: Values, i: str) -> str:
    """The same hash of place and words as in prune/masks/noise.py."""

    def do(operation: str, x: str, y: str) -> str:
        return f.let(f"{operation} {INTS} {x}, {y}")

    def words(name: str) -> str:
        return vectors.everywhere(f, f.let(f"trunc i64 {name} to i32"), "i32")

    steps = ", ".join(f"i32 {lane}" for lane in range(LANES))
    x = do("add", words(i), f"<{steps}>")
    x = do("mul", x, do("or", words(a["other"]), "splat (i32 1)"))
    x = do("add", x, words(a["word"]))
    x = do("mul", do("xor", x, do("lshr", x, "splat (i32 16)")), f"splat (i32 {MIX[0]})")
    x = do("mul", do("xor", x, do("lshr", x, "splat (i32 15)")), f"splat (i32 {MIX[1]})")
    return f.let(f"uitofp {INTS} {do('lshr', x, 'splat (i32 16)')} to {FLOATS}")


def _slope(f: Function, mask: str, how: Concrete) -> str:
    most, falls, edge = how.slope
    off = vectors.minus(f, mask, vectors.splat(0.5))
    square = vectors.times(f, off, off)
    slope = vectors.multiply_add(f, square, vectors.splat(-falls), vectors.splat(most))
    return vectors.where_above(f, slope, vectors.splat(edge), slope)


def _sqrt(f: Function, x: str) -> str:
    return f.let(f"call {FLOATS} @llvm.sqrt.v{LANES}f32({FLOATS} {x})")


# --- 2 of every 4: S (patterns, rows, columns / 4), M = softmax(T S) @ patterns -----------------


def softmax(patterns: Patterns) -> str:
    with _fours(patterns) as (f, a, shares, i):
        f.store(FOUR, _woven(f, shares, patterns), f.at(a["out"], f.mul(i, 16)), 4)
    return _end(f)


def softmax_scale(patterns: Patterns) -> str:
    with _fours(patterns) as (f, a, shares, i):
        weights = f.load(FOUR, f.at(a["weights"], f.mul(i, 16)), 4)
        scaled = f.let(f"fmul {FOUR} {weights}, {_woven(f, shares, patterns)}")
        place = f.at(a["out"], f.mul(i, 16))
        f.do(f"store {FOUR} {scaled}, ptr {place}, align 64, !nontemporal !0")
    return _end(f)


def softmax_back(patterns: Patterns) -> str:
    """`gradient` is dL/dM."""
    with _fours(patterns) as (f, a, shares, i):
        _back(f, a, shares, patterns, f.load(FOUR, f.at(a["gradient"], f.mul(i, 16)), 4), i)
    return _end(f)


def softmax_pull(patterns: Patterns) -> str:
    with _fours(patterns) as (f, a, shares, i):
        place = f.at(a["gradient"], f.mul(i, 16))
        gradient = f.load(FOUR, place, 4)
        scaled = f.let(f"fmul {FOUR} {gradient}, {_woven(f, shares, patterns)}")
        f.store(FOUR, scaled, place, 4)
        weights = f.load(FOUR, f.at(a["weights"], f.mul(i, 16)), 4)
        _back(f, a, shares, patterns, f.let(f"fmul {FOUR} {gradient}, {weights}"), i)
    return _end(f)


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
    f, a, rows = _start()
    temperature = vectors.handed_over(f, a["factor"])
    a["columns"] = f.div(a["columns"], 4)
    with rows() as row, _columns(f, a, row, LANES) as i:
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


# --- the loops of all ---------------------------------------------------------------------------


def _start() -> tuple[Function, Values, Callable[[], AbstractContextManager[str]]]:
    """`work`, its arguments, and the loop over the rows of a thread."""
    f = entry()
    a = arguments(f, ARGUMENTS)
    low = f.div(f.mul(a["rows"], "%thread"), "%threads")
    high = f.div(f.mul(a["rows"], f.add("%thread", 1)), "%threads")
    return f, a, lambda: f.loop(low, high)


@contextmanager
def _columns(f: Function, a: Values, row: str, step: int) -> Iterator[str]:
    """Numbers of one row as places in the whole matrix, `step` by `step`."""
    start = f.mul(row, a["columns"])
    with f.loop(start, f.add(start, a["columns"]), step) as i:
        yield i


def _end(f: Function) -> str:
    vectors.seen_by_all(f)
    return f.text()
