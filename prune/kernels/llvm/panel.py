"""Emits the copy of a chunk of tokens into a panel, where each block's inputs lie together.

A panel is [block][token][unit]: the kernel then reads one block's inputs from one place, whatever
the stride of the tensor. For the sampled product on bf16 pairs, which sums over tokens, it is
[block][token / 2][unit][2], where an odd last token is beside one of zeros.
"""

from prune.kernels.llvm.spec import Spec, interleave, load_floats
from prune.kernels.llvm.text import Function

# source: the first token; stride: bytes from one token to the next; block_stride: from one block to
# the next in the panel. A block without an entry in its list is not copied: nobody reads it.
PARAMETERS = "ptr source, i64 stride, i64 count, ptr panel, i64 block_stride, ptr start, i64 blocks"


def copy(name: str, spec: Spec, width: int, by_two: bool = False) -> str:
    """Tokens of `width` units a block; `by_two`: two tokens interleaved, if `spec.paired`."""
    f = Function(name, PARAMETERS)
    tokens = 2 if by_two and spec.paired else 1
    with f.loop(0, "%count", tokens) as token:
        present = [f.compare("slt", f.add(token, i), "%count") for i in range(tokens)]
        source = f.at("%source", f.mul(token, "%stride"))
        here = f.at("%panel", f.mul(token, width * spec.panel_item))
        with f.loop(0, "%blocks") as block:
            empty = f.compare("eq", f.number("%start", block), f.number("%start", f.add(block, 1)))
            with f.when(f.let(f"xor i1 {empty}, true")):
                units = f.at(source, f.mul(block, width * spec.item))
                target = f.at(here, f.mul(block, "%block_stride"))
                _token(f, spec, width, units, target, present)
    return f.text()


def _token(
    f: Function, spec: Spec, width: int, source: str, target: str, present: list[str]
) -> None:
    kind = "bfloat" if spec.paired else "float"
    for unit in range(0, width, spec.lanes):
        place = f.at(source, unit * spec.item)
        if len(present) == 1:
            value = _load(f, spec, place)
            f.store(f"<{spec.lanes} x {kind}>", value, f.at(target, unit * spec.panel_item), 2)
            continue
        loaded = [
            _or_zero(f, spec, f.at(place, f.mul(i, "%stride")), there)
            for i, there in enumerate(present)
        ]
        both = interleave(f, kind, loaded, spec.lanes)
        f.store(f"<{2 * spec.lanes} x {kind}>", both, f.at(target, unit * 4), 2)


def _load(f: Function, spec: Spec, place: str) -> str:
    if spec.paired:
        return f.load(f"<{spec.lanes} x bfloat>", place, 2)
    return load_floats(f, spec, place, spec.lanes)


def _or_zero(f: Function, spec: Spec, place: str, there: str) -> str:
    """A vector, or zeros for a token beyond the last, whose memory is not touched."""
    kind = f"<{spec.lanes} x bfloat>"
    slot = f.slot(kind)
    f.do(f"store {kind} zeroinitializer, ptr {slot}")
    with f.when(there):
        f.store(kind, _load(f, spec, place), slot)
    return f.load(kind, slot)
