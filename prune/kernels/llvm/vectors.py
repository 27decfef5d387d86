"""Vectors of fp32 as the passes over scores and masks use them: sixteen numbers, whatever the
processor has (LLVM makes of them as many registers as it takes), and their exponential.
"""

import math
import struct

from prune.kernels.llvm.text import Function

LANES = 16
FLOATS, INTS, BITS = f"<{LANES} x float>", f"<{LANES} x i32>", f"<{LANES} x i1>"
DECLARATIONS = f"""
declare float @llvm.vector.reduce.fadd.v{LANES}f32(float, {FLOATS})
declare float @llvm.vector.reduce.fadd.v{4 * LANES}f32(float, <{4 * LANES} x float>)
declare {FLOATS} @llvm.fmuladd.v{LANES}f32({FLOATS}, {FLOATS}, {FLOATS})
declare {FLOATS} @llvm.sqrt.v{LANES}f32({FLOATS})
declare {FLOATS} @llvm.fabs.v{LANES}f32({FLOATS})
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
"""
PAST_CACHES = "!0 = !{i32 1}"
LOWEST, HIGHEST = -87.0, 88.0  # beyond, e^x is no normal number of fp32
ROUNDS = 1.5 * 2**23  # added to a number, it leaves the nearest integer in the lowest bits
LN2 = 0.693359375, math.log(2) - 0.693359375  # the first has few bits: times n it is exact
TERMS = 7
PAGE = 4096  # bytes


def number(value: float) -> str:
    """A constant of fp32: LLVM wants it as the double that is the same."""
    (same,) = struct.unpack("f", struct.pack("f", value))
    return f"0x{struct.pack('>d', same).hex().upper()}"


def splat(value: float) -> str:
    return f"splat (float {number(value)})"


def bits(value: float) -> int:
    """fp32 as an integer: so it is handed over among the arguments."""
    return int.from_bytes(struct.pack("<f", value), "little")


def handed_over(f: Function, argument: str) -> str:
    """An argument that was `bits`, in all lanes."""
    low = f.let(f"trunc i64 {argument} to i32")
    return everywhere(f, f.let(f"bitcast i32 {low} to float"))


def everywhere(f: Function, one: str, kind: str = "float") -> str:
    """One number in all lanes."""
    vector = f"<{LANES} x {kind}>"
    first = f.let(f"insertelement {vector} poison, {kind} {one}, i64 0")
    return f.let(f"shufflevector {vector} {first}, {vector} poison, {INTS} zeroinitializer")


def plus(f: Function, a: str, b: str) -> str:
    return f.let(f"fadd {FLOATS} {a}, {b}")


def minus(f: Function, a: str, b: str) -> str:
    return f.let(f"fsub {FLOATS} {a}, {b}")


def times(f: Function, a: str, b: str) -> str:
    return f.let(f"fmul {FLOATS} {a}, {b}")


def over(f: Function, a: str, b: str) -> str:
    return f.let(f"fdiv {FLOATS} {a}, {b}")


def sqrt(f: Function, x: str) -> str:
    return f.let(f"call {FLOATS} @llvm.sqrt.v{LANES}f32({FLOATS} {x})")


def size(f: Function, x: str) -> str:
    """|x|"""
    return f.let(f"call {FLOATS} @llvm.fabs.v{LANES}f32({FLOATS} {x})")


def multiply_add(f: Function, a: str, b: str, c: str) -> str:
    """a * b + c"""
    operands = ", ".join(f"{FLOATS} {x}" for x in (a, b, c))
    return f.let(f"call {FLOATS} @llvm.fmuladd.v{LANES}f32({operands})")


def least(f: Function, a: str, b: str) -> str:
    """The smaller; a, where it is no number."""
    return _choose(f, f.let(f"fcmp ogt {FLOATS} {a}, {b}"), b, a)


def most(f: Function, a: str, b: str) -> str:
    """The larger; a, where it is no number."""
    return _choose(f, f.let(f"fcmp olt {FLOATS} {a}, {b}"), b, a)


def where_above(f: Function, x: str, bound: str, value: str) -> str:
    """`value` where x > bound, else 0."""
    return _choose(f, f.let(f"fcmp ogt {FLOATS} {x}, {bound}"), value, "zeroinitializer")


def _choose(f: Function, test: str, yes: str, no: str) -> str:
    return f.let(f"select {BITS} {test}, {FLOATS} {yes}, {FLOATS} {no}")


def exp(f: Function, x: str) -> str:
    """e^x to two units in the last place, 0 (nearly) and e^88 at the ends; NaN stays.

    x = n ln 2 + r with |r| <= ln 2 / 2: the series for e^r, and n is added to the exponent.
    """
    x = least(f, most(f, x, splat(LOWEST)), splat(HIGHEST))
    shifted = multiply_add(f, x, splat(1 / math.log(2)), splat(ROUNDS))
    n = minus(f, shifted, splat(ROUNDS))
    r = multiply_add(f, n, splat(-LN2[0]), x)
    r = multiply_add(f, n, splat(-LN2[1]), r)
    series = splat(1 / math.factorial(TERMS))
    for term in reversed(range(TERMS)):
        series = multiply_add(f, series, r, splat(1 / math.factorial(term)))
    power = f.let(f"shl {INTS} {_as_ints(f, shifted)}, splat (i32 23)")
    total = f.let(f"add {INTS} {_as_ints(f, series)}, {power}")
    return f.let(f"bitcast {INTS} {total} to {FLOATS}")


def sigmoid_slope(f: Function, scores: str, shift: float) -> str:
    """s (1 - s) with s = sigmoid(S - shift): e / (1 + e)^2, e being e^-|S - shift|."""
    x = minus(f, scores, splat(shift))
    e = exp(f, least(f, x, minus(f, "zeroinitializer", x)))
    whole = plus(f, e, splat(1.0))
    return over(f, e, times(f, whole, whole))


def _as_ints(f: Function, x: str) -> str:
    return f.let(f"bitcast {FLOATS} {x} to {INTS}")


def load(f: Function, pointer: str) -> str:
    return f.load(FLOATS, pointer, 4)


def coming(f: Function, pointer: str, lines: int = 1) -> None:
    """Ask for the lines of memory that are a page further on.

    A processor sees by itself that memory is read in order, but not beyond the end of a page.
    """
    for line in range(lines):
        place = f.at(pointer, PAGE + 4 * LANES * line)
        f.do(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 3, i32 1)")


def store(f: Function, value: str, pointer: str, stream: bool = False) -> None:
    """stream: past the caches, as it is read only much later; the pointer is at a whole line."""
    if stream:
        f.do(f"store {FLOATS} {value}, ptr {pointer}, align {4 * LANES}, !nontemporal !0")
    else:
        f.store(FLOATS, value, pointer, 4)


def seen_by_all(f: Function) -> None:
    """What went past the caches is there for other threads from here on."""
    f.do("fence seq_cst")
