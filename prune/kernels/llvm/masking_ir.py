"""Emits the two passes over a matrix that masks are applied with, in one sweep of memory each.

    scale   out = M * W
    pull    product = sum over each group of g * W, and g = M * g in place

A group is `height` x `width` weights and has one number in M, (rows / height, columns / width). A
thread has a band of groups, or of columns where there are fewer bands than threads.
"""

from dataclasses import dataclass

from prune.kernels.llvm.text import Function, kinds
from prune.kernels.llvm.work import arguments, entry, openmp, team

ARGUMENTS = kinds(
    "ptr gradient, ptr weights, ptr mask, ptr out, i64 rows, i64 columns, i64 height, i64 width"
)
LANES = 16  # numbers at a time; LLVM makes of them as many registers as it takes
FLOATS = f"<{LANES} x float>"
DECLARATIONS = f"declare float @llvm.vector.reduce.fadd.v{LANES}f32(float, {FLOATS})"
PAST_CACHES = "!0 = !{i32 1}"


@dataclass(frozen=True)
class Pass:
    """What is fixed when a pass is compiled."""

    pull: bool  # else scale
    wide: bool  # groups have a multiple of LANES columns, else one
    tall: bool  # and many rows, else one
    floats: bool  # M is fp32, else bytes of 0 and 1
    stream: bool  # what is written goes past the caches: it is read only much later

    @property
    def sums(self) -> bool:
        return self.pull and (self.wide or self.tall)


def module(kind: Pass) -> str:
    """The IR of `work` and `team`."""
    return "\n".join([openmp(), DECLARATIONS, _work(kind), team(), PAST_CACHES])


def _work(kind: Pass) -> str:
    f = entry()
    a = arguments(f, ARGUMENTS)
    bands, across = f.div(a["rows"], a["height"]), f.div(a["columns"], a["width"])
    unit = a["width"] if kind.wide else str(LANES)
    by_columns = f.compare("slt", bands, "%threads")
    first, last = _share(f, bands, by_columns, "false")
    begin, end = _share(f, f.div(a["columns"], unit), by_columns, "true")
    left, right = f.mul(begin, unit), f.mul(end, unit)
    with f.loop(f.mul(first, a["height"]), f.mul(last, a["height"])) as row:
        groups = f.mul(f.div(row, a["height"]) if kind.tall else row, across)
        here = {name: f.at(a[name], f.mul(f.mul(row, a["columns"]), 4)) for name in MATRICES}
        mask = f.at(a["mask"], f.mul(groups, 4 if kind.floats else 1))
        totals = f.at(a["out"], f.mul(groups, 4))
        if kind.wide:
            with f.loop(begin, end) as group:
                _run(f, kind, here, mask, totals, group, a["width"])
        else:
            with f.loop(left, right, LANES) as column:
                _single(f, kind, here, mask, totals, column)
    f.do("fence seq_cst")  # what went past the caches is seen by other threads from here on
    return f.text()


MATRICES = ("gradient", "weights", "out")


def _share(f: Function, count: str, by_columns: str, mine: str) -> tuple[str, str]:
    """The part of `count` that is this thread's, if `by_columns` is `mine`; else all of it."""
    splits = f.let(f"icmp eq i1 {by_columns}, {mine}")
    low = f.div(f.mul(count, "%thread"), "%threads")
    high = f.div(f.mul(count, f.add("%thread", 1)), "%threads")
    ends = f.let(f"select i1 {splits}, i64 {low}, i64 0")
    return ends, f.let(f"select i1 {splits}, i64 {high}, i64 {count}")


def _run(
    f: Function, kind: Pass, here: dict[str, str], mask: str, totals: str, group: str, width: str
) -> None:
    """One row of one group that has many columns."""
    if kind.floats:
        one = f.load("float", f.at(mask, f.mul(group, 4)))
    else:
        byte = f.load("i8", f.at(mask, group))
        one = f.let(f"uitofp i8 {byte} to float")
    first = f.let(f"insertelement {FLOATS} poison, float {one}, i64 0")
    places = f"<{LANES} x i32> zeroinitializer"
    factor = f.let(f"shufflevector {FLOATS} {first}, {FLOATS} poison, {places}")
    start = f.mul(group, width)
    total = f.slot(FLOATS)
    f.store(FLOATS, "zeroinitializer", total)
    with f.loop(start, f.add(start, width), LANES) as column:
        product = _multiply(f, kind, here, factor, column)
        if kind.pull:
            f.store(FLOATS, _add(f, f.load(FLOATS, total), product), total)
    if kind.pull:
        parts = f.load(FLOATS, total)
        total_of = f"call reassoc float @llvm.vector.reduce.fadd.v{LANES}f32"
        _accumulate(f, "float", f.let(f"{total_of}(float 0.0, {FLOATS} {parts})"), totals, group)


def _single(
    f: Function, kind: Pass, here: dict[str, str], mask: str, totals: str, column: str
) -> None:
    """Some columns of one row, each with a number of M of its own."""
    if kind.floats:
        factor = f.load(FLOATS, f.at(mask, f.mul(column, 4)), 4)
    else:
        bytes_ = f.load(f"<{LANES} x i8>", f.at(mask, column), 1)
        factor = f.let(f"uitofp <{LANES} x i8> {bytes_} to {FLOATS}")
    product = _multiply(f, kind, here, factor, column)
    if kind.pull and kind.tall:
        _accumulate(f, FLOATS, product, totals, column)
    elif kind.pull:
        _write(f, kind, product, f.at(here["out"], f.mul(column, 4)))


def _multiply(f: Function, kind: Pass, here: dict[str, str], factor: str, column: str) -> str:
    """Some columns of one row: writes what is scaled; returns g * W, where that is asked for."""
    offset = f.mul(column, 4)
    weights = f.load(FLOATS, f.at(here["weights"], offset), 4)
    if not kind.pull:
        _write(f, kind, _times(f, weights, factor), f.at(here["out"], offset))
        return ""
    place = f.at(here["gradient"], offset)
    gradient = f.load(FLOATS, place, 4)
    f.store(FLOATS, _times(f, gradient, factor), place, 4)
    return _times(f, gradient, weights)


def _times(f: Function, a: str, b: str) -> str:
    return f.let(f"fmul {FLOATS} {a}, {b}")


def _add(f: Function, a: str, b: str) -> str:
    return f.let(f"fadd {FLOATS} {a}, {b}")


def _accumulate(f: Function, type_: str, value: str, totals: str, place: str) -> None:
    at = f.at(totals, f.mul(place, 4))
    f.store(type_, f.let(f"fadd {type_} {f.load(type_, at, 4)}, {value}"), at, 4)


def _write(f: Function, kind: Pass, value: str, place: str) -> None:
    if kind.stream:
        f.do(f"store {FLOATS} {value}, ptr {place}, align 64, !nontemporal !0")
    else:
        f.store(FLOATS, value, place, 4)
