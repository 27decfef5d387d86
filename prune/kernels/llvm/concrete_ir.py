"""Emits the passes over scores whose masks M are hard concrete: M is made where it is used.

scale   out = M * W
pull    g * W becomes the gradient of the scores, and g = M * g in place
"""

from dataclasses import dataclass

from prune.kernels.llvm import vectors
from prune.kernels.llvm.scores_ir import Values, columns, end, start
from prune.kernels.llvm.text import Function
from prune.kernels.llvm.vectors import FLOATS, INTS, LANES

LEVELS = 1 << 16  # of the noise
MIX = 0x7FEB352D, 0x846CA68B  # prune/masks/noise.py says what for


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


def scale(how: Concrete) -> str:
    """`highest`: (rows, LANES), whose maximum is that of M in the row."""
    f, a, rows = start()
    highest = f.slot(FLOATS)
    with rows() as row:
        f.store(FLOATS, "zeroinitializer", highest)
        with columns(f, a, row, LANES) as i:
            mask = _concrete(f, a, how, _read(f, a["scores"], i), i)
            f.store(FLOATS, vectors.most(f, f.load(FLOATS, highest), mask), highest)
            weights = _read(f, a["weights"], i)
            scaled = vectors.times(f, mask, weights)
            vectors.store(f, scaled, f.at(a["out"], f.mul(i, 4)), stream=True)
        place = f.at(a["highest"], f.mul(row, 4 * LANES))
        vectors.store(f, f.load(FLOATS, highest), place)
    return end(f)


def pull(how: Concrete) -> str:
    f, a, rows = start()
    rate = vectors.handed_over(f, a["factor"])
    with rows() as row, columns(f, a, row, LANES) as i:
        scores = _read(f, a["scores"], i)
        mask = _concrete(f, a, how, scores, i)
        place = f.at(a["gradient"], f.mul(i, 4))
        gradient = _read(f, a["gradient"], i)
        vectors.store(f, vectors.times(f, gradient, mask), place)
        weights = _read(f, a["weights"], i)
        pulled = vectors.times(f, vectors.times(f, gradient, weights), _slope(f, mask, how))
        pulled = vectors.multiply_add(f, rate, vectors.sigmoid_slope(f, scores, how.shift), pulled)
        vectors.store(f, pulled, f.at(a["out"], f.mul(i, 4)), stream=True)
    return end(f)


def _read(f: Function, matrix: str, i: str) -> str:
    place = f.at(matrix, f.mul(i, 4))
    vectors.coming(f, place)
    return vectors.load(f, place)


def _concrete(f: Function, a: Values, how: Concrete, scores: str, i: str) -> str:
    """M. s is a / (a + e^(-3/2 (S - offset)) b), a and b being u and 1 - u to the power of 3/2."""
    level = _level(f, a, i)
    up = vectors.plus(f, level, vectors.splat(0.5))
    down = vectors.minus(f, vectors.splat(LEVELS - 0.5), level)
    up, down = (vectors.times(f, x, vectors.sqrt(f, x)) for x in (up, down))
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
