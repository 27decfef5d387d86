"""Emits: which numbers of a vector are above a cut, and how many, in one pass."""

from prune.kernels.llvm import vectors
from prune.kernels.llvm.text import kinds
from prune.kernels.llvm.vectors import BITS, FLOATS, LANES
from prune.kernels.llvm.work import arguments, entry, openmp, team

ARGUMENTS = kinds("ptr values, i64 cut, ptr mask, ptr counts, i64 size")


def module() -> str:
    """The IR of `work` and `team`: bytes of 0 and 1; `counts` has a place for each thread."""
    return "\n".join([openmp(), vectors.DECLARATIONS, COUNT, _work(), team()])


COUNT = f"declare i{LANES} @llvm.ctpop.i{LANES}(i{LANES})"


def _work() -> str:
    f = entry()
    a = arguments(f, ARGUMENTS)
    cut = vectors.handed_over(f, a["cut"])
    turns = f.div(a["size"], LANES)
    low = f.div(f.mul(turns, "%thread"), "%threads")
    high = f.div(f.mul(turns, f.add("%thread", 1)), "%threads")
    seen = f.slot("i64")
    f.store("i64", "0", seen)
    with f.loop(f.mul(low, LANES), f.mul(high, LANES), LANES) as i:
        values = vectors.load(f, f.at(a["values"], f.mul(i, 4)))
        above = f.let(f"fcmp ogt {FLOATS} {values}, {cut}")
        ones = f.let(f"zext {BITS} {above} to <{LANES} x i8>")
        f.store(f"<{LANES} x i8>", ones, f.at(a["mask"], i), 1)
        word = f.let(f"bitcast {BITS} {above} to i{LANES}")
        count = f.let(f"call i{LANES} @llvm.ctpop.i{LANES}(i{LANES} {word})")
        wide = f.let(f"zext i{LANES} {count} to i64")
        f.store("i64", f.add(f.load("i64", seen), wide), seen)
    f.store("i64", f.load("i64", seen), f.at(a["counts"], f.mul("%thread", 8)))
    return f.text()
