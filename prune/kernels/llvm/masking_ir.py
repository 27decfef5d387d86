"""Emits the passes over a matrix that masks are made and applied with, one sweep of memory each.

    scale   out = M * W
    pull    product = sum over each group of g * W, and g = M * g in place
    sizes   product = sum over each group of |W|

A group is `height` x `width` weights and has one number in M, (rows / height, columns / width). A
thread has a band of groups, or of columns where there are fewer bands than threads. Of single
weights the product may become the gradient of their scores on the way.
"""

from dataclasses import dataclass

from prune.kernels.llvm import vectors
from prune.kernels.llvm.text import Function, kinds
from prune.kernels.llvm.vectors import FLOATS, LANES
from prune.kernels.llvm.work import arguments, entry, openmp, team

ARGUMENTS = kinds(
    "ptr gradient, ptr weights, ptr mask, ptr out, ptr scores, i64 rate, "
    "i64 rows, i64 columns, i64 height, i64 width"
)
ONE, ZERO = vectors.splat(1.0), "zeroinitializer"
MATRICES = ("gradient", "weights", "out", "scores")


@dataclass(frozen=True)
class Pass:
    """What is fixed when a pass is compiled."""

    pull: bool  # or sizes; else scale
    wide: bool  # groups have a multiple of LANES columns, else one
    tall: bool  # and many rows, else one
    floats: bool  # M is fp32, else bytes of 0 and 1
    stream: bool  # what is written goes past the caches: it is read only much later
    sizes: bool = False  # what is summed is |W|; there is neither g nor M
    shift: float | None = None  # `rate` times the derivative of sigmoid(S - shift) is added


def module(kind: Pass) -> str:
    """The IR of `work` and `team`."""
    parts = [openmp(), vectors.DECLARATIONS, _work(kind), team(), vectors.PAST_CACHES]
    return "\n".join(parts)


def _work(kind: Pass) -> str:
    f = entry()
    a = arguments(f, ARGUMENTS)
    bands, across = f.div(a["rows"], a["height"]), f.div(a["columns"], a["width"])
    unit = a["width"] if kind.wide else str(LANES)
    by_columns = f.compare("slt", bands, "%threads")
    first, last = _share(f, bands, by_columns, "false")
    begin, end = _share(f, f.div(a["columns"], unit), by_columns, "true")
    rate = vectors.handed_over(f, a["rate"])
    with f.loop(f.mul(first, a["height"]), f.mul(last, a["height"])) as row:
        groups = f.mul(f.div(row, a["height"]) if kind.tall else row, across)
        here = {name: f.at(a[name], f.mul(f.mul(row, a["columns"]), 4)) for name in MATRICES}
        here["mask"] = f.at(a["mask"], f.mul(groups, 4 if kind.floats else 1))
        here["sums"] = f.at(a["out"], f.mul(groups, 4))
        if kind.wide:
            with f.loop(begin, end) as group:
                _run(f, kind, here, group, a["width"])
        else:
            with f.loop(f.mul(begin, unit), f.mul(end, unit), LANES) as column:
                _single(f, kind, here, column, rate)
    vectors.seen_by_all(f)
    return f.text()


def _share(f: Function, count: str, by_columns: str, mine: str) -> tuple[str, str]:
    """The part of `count` that is this thread's, if `by_columns` is `mine`; else all of it."""
    splits = f.let(f"icmp eq i1 {by_columns}, {mine}")
    low = f.div(f.mul(count, "%thread"), "%threads")
    high = f.div(f.mul(count, f.add("%thread", 1)), "%threads")
    start = f.let(f"select i1 {splits}, i64 {low}, i64 0")
    return start, f.let(f"select i1 {splits}, i64 {high}, i64 {count}")


def _run(f: Function, kind: Pass, here: dict[str, str], group: str, width: str) -> None:
    """One row of one group that has many columns."""
    if kind.floats:
        one = f.load("float", f.at(here["mask"], f.mul(group, 4)))
    else:
        byte = f.load("i8", f.at(here["mask"], group))
        one = f.let(f"uitofp i8 {byte} to float")
    start = f.mul(group, width)
    total = f.slot(FLOATS)
    f.store(FLOATS, "zeroinitializer", total)
    for test, factor in _cases(f, kind, one):
        with f.when(test), f.loop(start, f.add(start, width), LANES) as column:
            product = _multiply(f, kind, here, factor, f.mul(column, 4))
            if kind.pull:
                f.store(FLOATS, vectors.plus(f, f.load(FLOATS, total), product), total)
    if kind.pull:
        sum_of = f"call reassoc float @llvm.vector.reduce.fadd.v{LANES}f32"
        added = f.let(f"{sum_of}(float 0.0, {FLOATS} {f.load(FLOATS, total)})")
        place = f.at(here["sums"], f.mul(group, 4))
        f.store("float", f.let(f"fadd float {f.load('float', place)}, {added}"), place)


def _cases(f: Function, kind: Pass, one: str) -> list[tuple[str, str]]:
    """When M is such that memory need not be touched, and when not; and M in all lanes.

    A gradient times 1 is not written, and weights times 0 are not read.
    """
    factor = vectors.everywhere(f, one)
    if kind.sizes:
        return [("true", factor)]
    easy, bound = (ONE, "1.0") if kind.pull else (ZERO, "0.0")
    tests = (f.let(f"fcmp {how} float {one}, {bound}") for how in ("oeq", "une"))
    return list(zip(tests, (easy, factor), strict=True))


def _single(f: Function, kind: Pass, here: dict[str, str], column: str, rate: str) -> None:
    """Some columns of one row, each with a number of M of its own."""
    offset = f.mul(column, 4)
    if kind.floats:
        factor = vectors.load(f, f.at(here["mask"], offset))
    else:
        few = f.load(f"<{LANES} x i8>", f.at(here["mask"], column), 1)
        factor = f.let(f"uitofp <{LANES} x i8> {few} to {FLOATS}")
    product = _multiply(f, kind, here, factor, offset)
    if not kind.pull:
        return
    if kind.tall:
        place = f.at(here["sums"], offset)
        vectors.store(f, vectors.plus(f, vectors.load(f, place), product), place)
        return
    if kind.shift is not None:
        scores = vectors.load(f, f.at(here["scores"], offset))
        product = vectors.multiply_add(
            f, rate, vectors.sigmoid_slope(f, scores, kind.shift), product
        )
    vectors.store(f, product, f.at(here["out"], offset), kind.stream)


def _multiply(f: Function, kind: Pass, here: dict[str, str], factor: str, offset: str) -> str:
    """Some columns of one row: writes what is scaled; returns what is summed."""
    if factor == ZERO:
        vectors.store(f, ZERO, f.at(here["out"], offset), kind.stream)
        return ""
    place = f.at(here["weights"], offset)
    weights = vectors.load(f, place)
    vectors.coming(f, place)
    if kind.sizes:
        return vectors.size(f, weights)
    if not kind.pull:
        out = f.at(here["out"], offset)
        vectors.store(f, vectors.times(f, weights, factor), out, kind.stream)
        return ""
    place = f.at(here["gradient"], offset)
    gradient = vectors.load(f, place)
    vectors.coming(f, place)
    if factor != ONE:
        vectors.store(f, vectors.times(f, gradient, factor), place)
    return vectors.times(f, gradient, weights)
