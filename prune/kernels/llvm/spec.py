"""What is fixed when a kernel is compiled; and the vectors it is made of."""

from dataclasses import dataclass
from functools import cached_property

from prune.kernels.llvm.machine import Machine
from prune.kernels.llvm.text import Function

SPAN = 2**14  # bytes of blocks: half of a first-level cache


@dataclass(frozen=True)
class Spec:
    """A kernel for blocks that sum over `depth` inputs into `size` outputs.

    bf16: the type of all tensors; else they are fp32. Sums are always fp32.
    """

    depth: int
    size: int
    bf16: bool
    machine: Machine

    @property
    def item(self) -> int:
        """Bytes of one number in memory."""
        return 2 if self.bf16 else 4

    @property
    def paired(self) -> bool:
        """Whether products are of bf16 pairs; else bf16 is widened to fp32 first."""
        return self.bf16 and self.machine.dot

    @property
    def panel_item(self) -> int:
        """Bytes of one number in a panel, the inputs as they are copied for the kernel."""
        return 2 if self.paired else 4

    @property
    def lanes(self) -> int:
        return self.machine.lanes

    @cached_property
    def abreast(self) -> int:
        """How many vectors of outputs are worked on at a time."""
        vectors = self.size // self.lanes
        return next(n for n in (2, 3, 1) if vectors % n == 0)

    @cached_property
    def tile(self) -> int:
        """Tokens whose sums the registers hold, so many vectors of outputs abreast."""
        return self.machine.sums // self.abreast

    @property
    def span(self) -> int:
        """Blocks of a row that are multiplied before the next tile of tokens."""
        return max(1, SPAN // (self.depth * self.size * self.item))

    @property
    def floats(self) -> str:
        return f"<{self.lanes} x float>"

    @property
    def pairs(self) -> str:
        return f"<{2 * self.lanes} x bfloat>"


def zero(spec: Spec) -> str:
    return f"{spec.floats} zeroinitializer"


def multiply_add(f: Function, spec: Spec, a: str, b: str, total: str) -> str:
    """total + a * b, all vectors; of pairs, the two products are added."""
    if spec.paired:
        operands = f"{spec.floats} {total}, {spec.pairs} {a}, {spec.pairs} {b}"
        return f.let(f"call {spec.floats} @llvm.x86.avx512bf16.dpbf16ps.512({operands})")
    operands = f"{spec.floats} {a}, {spec.floats} {b}, {spec.floats} {total}"
    return f.let(f"call {spec.floats} @llvm.fmuladd.v{spec.lanes}f32({operands})")


def load_floats(f: Function, spec: Spec, pointer: str, count: int) -> str:
    """`count` numbers of the tensors' type as fp32."""
    if not spec.bf16:
        return f.load(f"<{count} x float>", pointer, 4)
    short = f.load(f"<{count} x i16>", pointer, 2)
    wide = f.let(f"zext <{count} x i16> {short} to <{count} x i32>")
    bits = f.let(f"shl <{count} x i32> {wide}, splat (i32 16)")
    return f.let(f"bitcast <{count} x i32> {bits} to <{count} x float>")


def store_floats(f: Function, spec: Spec, value: str, pointer: str) -> None:
    """A vector of fp32 sums in the tensors' type, rounded to the nearest (even of two)."""
    if not spec.bf16:
        f.store(spec.floats, value, pointer, 4)
    elif spec.paired:
        short = f.let(f"fptrunc {spec.floats} {value} to <{spec.lanes} x bfloat>")
        f.store(f"<{spec.lanes} x bfloat>", short, pointer, 2)
    else:
        f.store(f"<{spec.lanes} x i16>", _rounded(f, spec.lanes, value), pointer, 2)


def _rounded(f: Function, lanes: int, value: str) -> str:
    ints = f"<{lanes} x i32>"
    bits = f.let(f"bitcast <{lanes} x float> {value} to {ints}")
    odd = f.let(f"and {ints} {f.let(f'lshr {ints} {bits}, splat (i32 16)')}, splat (i32 1)")
    up = f.let(f"add {ints} {f.let(f'add {ints} {bits}, {odd}')}, splat (i32 32767)")
    nan = f.let(f"fcmp uno <{lanes} x float> {value}, {value}")
    kept = f.let(f"select <{lanes} x i1> {nan}, {ints} splat (i32 2143289344), {ints} {up}")
    return f.let(f"trunc {ints} {f.let(f'lshr {ints} {kept}, splat (i32 16)')} to <{lanes} x i16>")


def broadcast(f: Function, spec: Spec, pointer: str) -> str:
    """One number of a panel (or one pair) in all lanes."""
    kind = "i32" if spec.paired else "float"
    one = f.load(kind, pointer, 4)
    vector = f"<{spec.lanes} x {kind}>"
    first = f.let(f"insertelement {vector} poison, {kind} {one}, i64 0")
    places = f"<{spec.lanes} x i32> zeroinitializer"
    every = f.let(f"shufflevector {vector} {first}, {vector} poison, {places}")
    return f.let(f"bitcast {vector} {every} to {spec.pairs}") if spec.paired else every


def interleave(f: Function, kind: str, pair: list[str], count: int, half: int | None = None) -> str:
    """a[0], b[0], a[1], b[1] and so on, of a pair of vectors of `count`; or of a half, 0 or 1."""
    part = range(count) if half is None else range(half * count // 2, (half + 1) * count // 2)
    places = ", ".join(f"i32 {i}, i32 {count + i}" for i in part)
    vector = f"<{count} x {kind}>"
    operands = f"{vector} {pair[0]}, {vector} {pair[1]}"
    return f.let(f"shufflevector {operands}, <{2 * len(part)} x i32> <{places}>")


DECLARATIONS = """
declare <{lanes} x float> @llvm.fmuladd.v{lanes}f32(<{lanes} x float>, <{lanes} x float>, <{lanes} x float>)
declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float>, <32 x bfloat>, <32 x bfloat>)
"""  # noqa: E501
