"""Emits the sampled product: dW of each live block, summed over all tokens.

    dW[block] (depth, size) = x[:, block's inputs]' @ dy[:, block's outputs]

Each thread has a range of blocks and goes through the tokens chunk by chunk; it copies the outputs
of its own block rows. Between chunks the sums stand in dW, which is fp32 whatever the inputs are.
"""

from prune.kernels.llvm import panel
from prune.kernels.llvm.spec import DECLARATIONS, Spec, broadcast, multiply_add, zero
from prune.kernels.llvm.text import Function, kinds
from prune.kernels.llvm.work import arguments, check, entry, openmp, team

ARGUMENTS = kinds(
    "ptr x, i64 x_stride, ptr grad, i64 grad_stride, i64 tokens, ptr out, ptr start, i64 lists, "
    "ptr other, i64 others, ptr other_start, i64 blocks, ptr scratch, i64 scratch_stride, i64 chunk"
)


def module(spec: Spec) -> str:
    """The IR of `check`, `work` and `team` for blocks of one shape and type."""
    parts = [
        DECLARATIONS.format(lanes=spec.lanes),
        openmp(),
        check(),
        panel.copy("copy_x", spec, spec.depth, by_two=True),
        panel.copy("copy_grad", spec, spec.size, by_two=True),
        _block(spec),
        _work(spec),
        team(),
    ]
    return "\n".join(parts)


def inputs(spec: Spec) -> int:
    """How many inputs of a block are summed at a time: their sums stay in registers."""
    return next(n for n in (8, 4, 2) if n * spec.abreast <= spec.machine.sums)


def _work(spec: Spec) -> str:
    f = entry()
    a = arguments(f, ARGUMENTS)
    panel_x = f.at(a["scratch"], f.mul("%thread", a["scratch_stride"]))
    x_block = f.mul(a["chunk"], spec.depth * spec.panel_item)
    grad_block = f.mul(a["chunk"], spec.size * spec.panel_item)
    panel_grad = f.at(panel_x, f.mul(a["others"], x_block))
    low = f.div(f.mul(a["blocks"], "%thread"), "%threads")
    high = f.div(f.mul(a["blocks"], f.add("%thread", 1)), "%threads")
    first, last = _rows(f, a, low, high)
    with f.loop(0, a["tokens"], a["chunk"]) as token:
        count = f.least(a["chunk"], f.sub(a["tokens"], token))
        for name, target, stride, start, begin, end, units in (
            ("x", panel_x, x_block, a["other_start"], "0", a["others"], spec.depth),
            ("grad", panel_grad, grad_block, a["start"], first, last, spec.size),
        ):
            source = f.at(
                a[name], f.mul(token, a[f"{name}_stride"]), f.mul(begin, units * spec.item)
            )
            f.do(
                f"call void @copy_{name}(ptr {source}, i64 {a[f'{name}_stride']}, i64 {count}, "
                f"ptr {f.at(target, f.mul(begin, stride))}, i64 {stride}, "
                f"ptr {f.at(start, f.mul(begin, 4))}, i64 {f.sub(end, begin)})"
            )
        with f.loop(first, last) as row:
            grad = f.at(panel_grad, f.mul(row, grad_block))
            begin = f.most(low, f.number(a["start"], row))
            end = f.least(high, f.number(a["start"], f.add(row, 1)))
            with f.loop(begin, end) as block:
                x = f.at(panel_x, f.mul(f.number(a["other"], block), x_block))
                out = f.at(a["out"], f.mul(block, spec.depth * spec.size * 4))
                f.do(f"call void @block(ptr {x}, ptr {grad}, ptr {out}, i64 {count}, i64 {token})")
    return f.text()


def _rows(f: Function, a: dict[str, str], low: str, high: str) -> tuple[str, str]:
    """The first block row that has a block of `low` ... `high` - 1, and the one after the last."""
    counts = f.slot("i64"), f.slot("i64")
    for slot in counts:
        f.store("i64", "0", slot)
    with f.loop(0, a["lists"]) as row:
        before = f.compare("sle", f.number(a["start"], f.add(row, 1)), low)
        begun = f.compare("slt", f.number(a["start"], row), high)
        for slot, test in zip(counts, (before, begun), strict=True):
            one = f.let(f"zext i1 {test} to i64")
            f.store("i64", f.add(f.load("i64", slot), one), slot)
    return f.load("i64", counts[0]), f.load("i64", counts[1])


def _block(spec: Spec) -> str:
    """out (depth, size) += x' (depth, tokens) @ grad (tokens, size); = for the first chunk."""
    f = Function("block", "ptr x, ptr grad, ptr out, i64 tokens, i64 before")
    sums = [[f.slot(spec.floats) for _ in range(spec.abreast)] for _ in range(inputs(spec))]
    step = 2 if spec.paired else 1
    with (
        f.loop(0, spec.depth, len(sums)) as unit,
        f.loop(0, spec.size, spec.abreast * spec.lanes) as output,
    ):
        at = f.mul(f.add(f.mul(unit, spec.size), output), 4)
        _resume(f, spec, sums, at)
        # In pairs a unit has two tokens side by side: an item of 2 bytes twice.
        x = f.at("%x", f.mul(unit, spec.panel_item * step))
        grad = f.at("%grad", f.mul(output, spec.panel_item * step))
        with f.loop(0, "%tokens", step) as token:
            x_here = f.at(x, f.mul(token, spec.depth * spec.panel_item))
            grad_here = f.at(grad, f.mul(token, spec.size * spec.panel_item))
            _token(f, spec, sums, x_here, grad_here)
        _each(f, spec, sums, at, load=False)
    return f.text()


def _resume(f: Function, spec: Spec, sums: list[list[str]], at: str) -> None:
    """Zeros for the first chunk of tokens, else what stands in `out`."""
    for row in sums:
        for slot in row:
            f.do(f"store {zero(spec)}, ptr {slot}")
    with f.when(f.compare("ne", "%before", 0)):
        _each(f, spec, sums, at, load=True)


def _each(f: Function, spec: Spec, sums: list[list[str]], at: str, load: bool) -> None:
    for row, slots in enumerate(sums):
        for vector, slot in enumerate(slots):
            place = f.at("%out", at, (row * spec.size + vector * spec.lanes) * 4)
            source, target = (place, slot) if load else (slot, place)
            f.store(spec.floats, f.load(spec.floats, source, 4), target, 4)


def _token(f: Function, spec: Spec, sums: list[list[str]], x: str, grad: str) -> None:
    """One token, or one pair of tokens."""
    kind = spec.pairs if spec.paired else spec.floats
    outputs = [
        f.load(kind, f.at(grad, vector * spec.lanes * 4), 4) for vector in range(spec.abreast)
    ]
    for row, slots in enumerate(sums):
        unit = broadcast(f, spec, f.at(x, row * 4))
        for output, slot in zip(outputs, slots, strict=True):
            total = f.load(spec.floats, slot)
            f.store(spec.floats, multiply_add(f, spec, unit, output, total), slot)
