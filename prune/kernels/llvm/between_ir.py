"""Emits one pass over numbers that tells which are above a bracket, and collects those inside.

A thread has a run of the numbers, LANES at a time. It writes a byte each, 1 above `high`, and
counts these; what is in (low, high] goes with its place to the thread's own part of `inside` and
`places`, `room` long. If there is more, it is counted all the same, and `seen` says so.
"""

from prune.kernels.llvm import vectors
from prune.kernels.llvm.text import Function, kinds
from prune.kernels.llvm.vectors import BITS, FLOATS, INTS, LANES
from prune.kernels.llvm.work import arguments, entry, openmp, team

ARGUMENTS = kinds(
    "ptr values, i64 low, i64 high, i64 count, ptr mask, ptr inside, ptr places, i64 room, ptr seen"
)
PACK = "@llvm.experimental.vector.compress"
DECLARATIONS = f"""
declare i16 @llvm.ctpop.i16(i16)
declare {FLOATS} {PACK}.v{LANES}f32({FLOATS}, {BITS}, {FLOATS})
declare {INTS} {PACK}.v{LANES}i32({INTS}, {BITS}, {INTS})
"""
LADDER = f"<{', '.join(f'i32 {lane}' for lane in range(LANES))}>"


def module(packs: bool) -> str:
    """The IR of `work` and `team`. packs: the processor packs a vector, faster than it branches.

    seen: two integers a thread, of those above and those inside.
    """
    return "\n".join([openmp(), vectors.DECLARATIONS, DECLARATIONS, _work(packs), team()])


def _work(packs: bool) -> str:
    f = entry()
    a = arguments(f, ARGUMENTS)
    low, high = (vectors.handed_over(f, a[name]) for name in ("low", "high"))
    runs = f.div(a["count"], LANES)
    edges = ("%thread", f.add("%thread", 1))
    first, last = (f.mul(f.div(f.mul(runs, edge), "%threads"), LANES) for edge in edges)
    mine = f.mul(f.mul(a["room"], "%thread"), 4)
    above, found = f.slot("i64"), f.slot("i64")
    f.store("i64", "0", above)
    f.store("i64", "0", found)
    with f.loop(first, last, LANES) as i:
        place = f.at(a["values"], f.mul(i, 4))
        vectors.coming(f, place)
        values = vectors.load(f, place)
        over = f.let(f"fcmp ogt {FLOATS} {values}, {high}")
        byte = f.let(f"zext {BITS} {over} to <{LANES} x i8>")
        f.store(f"<{LANES} x i8>", byte, f.at(a["mask"], i), 1)
        f.store("i64", f.add(f.load("i64", above), _ones(f, over)), above)
        beyond = f.let(f"fcmp ogt {FLOATS} {values}, {low}")
        kept = f.let(f"and {BITS} {beyond}, {f.let(f'fcmp ole {FLOATS} {values}, {high}')}")
        ones, here = _ones(f, kept), f.load("i64", found)
        wanted = f.compare("sle", f.add(here, LANES), a["room"])
        if not packs:
            wanted = f.let(f"and i1 {wanted}, {f.compare('ne', ones, 0)}")
        with f.when(wanted):
            start = f.add(mine, f.mul(here, 4))
            _pack(f, "f32", FLOATS, values, kept, f.at(a["inside"], start))
            _pack(f, "i32", INTS, _places(f, i), kept, f.at(a["places"], start))
        f.store("i64", f.add(here, ones), found)
    result = f.at(a["seen"], f.mul("%thread", 16))
    f.store("i64", f.load("i64", above), result)
    f.store("i64", f.load("i64", found), f.at(result, 8))
    return f.text()


def _ones(f: Function, test: str) -> str:
    whole = f.let(f"bitcast {BITS} {test} to i{LANES}")
    return f.let(f"zext i16 {f.let(f'call i16 @llvm.ctpop.i16(i16 {whole})')} to i64")


def _places(f: Function, first: str) -> str:
    start = vectors.everywhere(f, f.let(f"trunc i64 {first} to i32"), "i32")
    return f.let(f"add {INTS} {start}, {LADDER}")


def _pack(f: Function, kind: str, vector: str, values: str, kept: str, place: str) -> None:
    """Those that are kept, side by side; what follows them will be overwritten."""
    operands = f"{vector} {values}, {BITS} {kept}, {vector} poison"
    f.store(vector, f.let(f"call {vector} {PACK}.v{LANES}{kind}({operands})"), place, 4)
