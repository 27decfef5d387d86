"""Emits the product: for each block row and tile of tokens, all sums stay in registers.

    y[token, :] = bias + sum over the row's blocks of x[token, block's inputs] @ values[block]

The transposed product is the same function over the lists of block columns, on transposed values.
Work is cut into tasks of (a chunk of tokens, a group of block rows); a thread copies the chunk into
its own panel, then goes through the rows. A row is cut into spans of blocks whose weights stay in
the first-level cache while all tiles of the chunk pass; between spans the sums stand in fp32.
"""

from collections.abc import Iterator

from prune.kernels.llvm import panel
from prune.kernels.llvm.spec import (
    DECLARATIONS,
    Spec,
    broadcast,
    interleave,
    load_floats,
    multiply_add,
    store_floats,
    zero,
)
from prune.kernels.llvm.text import Function, kinds
from prune.kernels.llvm.work import arguments, check, entry, openmp, team

ARGUMENTS = kinds(
    "ptr x, i64 x_stride, i64 tokens, ptr y, i64 y_stride, ptr bias, ptr values, ptr start, "
    "i64 lists, ptr other, i64 others, ptr order, ptr other_start, ptr scratch, "
    "i64 scratch_stride, i64 chunk, i64 chunks, i64 groups, i64 sums_at"
)
TILE = (
    "ptr x, i64 block_stride, ptr values, ptr other, ptr order, i64 begin, i64 end, "
    "ptr bias, ptr y, i64 y_stride, ptr partial, i64 goes_on, i64 is_last"
)
UNROLL = 2  # steps of the sum in one turn of the innermost loop


def module(spec: Spec) -> str:
    """The IR of `check`, `work` and `team` for blocks of one shape and type."""
    parts = [
        DECLARATIONS.format(lanes=spec.lanes),
        openmp(),
        check(),
        panel.copy("copy", spec, spec.depth),
        *(_tile(spec, tokens) for tokens in tiles(spec)),
        _work(spec),
        team(),
    ]
    return "\n".join(parts)


def tiles(spec: Spec) -> tuple[int, ...]:
    """Tokens of a tile: as many as registers hold; and less, for the last few."""
    return (spec.tile, 4, 1) if spec.tile > 4 else (spec.tile, 1)


def _work(spec: Spec) -> str:
    f = entry()
    a = arguments(f, ARGUMENTS)
    scratch = f.at(a["scratch"], f.mul("%thread", a["scratch_stride"]))
    block_stride = f.mul(a["chunk"], spec.depth * spec.panel_item)
    with f.loop("%thread", f.mul(a["chunks"], a["groups"]), "%threads") as task:
        chunk, group = f.div(task, a["groups"]), f.rem(task, a["groups"])
        token = f.mul(chunk, a["chunk"])
        count = f.least(a["chunk"], f.sub(a["tokens"], token))
        source = f.at(a["x"], f.mul(token, a["x_stride"]))
        f.do(
            f"call void @copy(ptr {source}, i64 {a['x_stride']}, i64 {count}, "
            f"ptr {scratch}, i64 {block_stride}, ptr {a['other_start']}, i64 {a['others']})"
        )
        first = f.div(f.mul(a["lists"], group), a["groups"])
        last = f.div(f.mul(a["lists"], f.add(group, 1)), a["groups"])
        with f.loop(first, last) as row:
            _row(f, spec, a, row, (scratch, block_stride, token, count))
    return f.text()


def _row(f: Function, spec: Spec, a: dict[str, str], row: str, at: tuple[str, ...]) -> None:
    """One block row: some vectors of its outputs, then a span of its blocks, then tiles of the
    largest size as long as they fit, then of the next.
    """
    scratch, block_stride, token, count = at
    begin, end = f.number(a["start"], row), f.number(a["start"], f.add(row, 1))
    width = spec.abreast * spec.lanes
    # A row without blocks is one empty span.
    once = f.most(end, f.add(begin, 1))
    with f.loop(0, spec.size, width) as output, f.loop(begin, once, spec.span) as low:
        here = f.mul(output, spec.item)
        columns = f.add(f.mul(row, spec.size * spec.item), here)
        values, bias = f.at(a["values"], here), _beside(f, a["bias"], columns)
        high = f.least(f.add(low, spec.span), end)
        goes_on = f.let(f"zext i1 {f.compare('ne', low, begin)} to i64")
        is_last = f.let(f"zext i1 {f.compare('eq', high, end)} to i64")
        done = "0"
        for size in tiles(spec):
            stop = f.sub(count, f.rem(f.sub(count, done), size))
            with f.loop(done, stop, size) as tile:
                units = f.at(scratch, f.mul(tile, spec.depth * spec.panel_item))
                y = f.at(a["y"], f.mul(f.add(token, tile), a["y_stride"]), columns)
                partial = f.at(scratch, a["sums_at"], f.mul(tile, width * 4))
                f.do(
                    f"call void @tile{size}(ptr {units}, i64 {block_stride}, ptr {values}, "
                    f"ptr {a['other']}, ptr {a['order']}, i64 {low}, i64 {high}, ptr {bias}, "
                    f"ptr {y}, i64 {a['y_stride']}, ptr {partial}, i64 {goes_on}, i64 {is_last})"
                )
            done = stop


def _beside(f: Function, pointer: str, offset: str) -> str:
    """`pointer` moved by `offset` bytes; null stays null."""
    none = f.compare("eq", pointer, "null", "ptr")
    return f.let(f"select i1 {none}, ptr null, ptr {f.at(pointer, offset)}")


def _tile(spec: Spec, tokens: int) -> str:
    """A span of one block row: y, or the sums so far (tokens, `abreast` vectors)."""
    f = Function(f"tile{tokens}", TILE)
    sums = [[f.slot(spec.floats) for _ in range(spec.abreast)] for _ in range(tokens)]
    _start(f, spec, sums)
    with f.loop("%begin", "%end") as place:
        x = f.at("%x", f.mul(f.number("%other", place), "%block_stride"))
        values = f.at("%values", f.mul(_block(f, place), spec.depth * spec.size * spec.item))
        _block_product(f, spec, sums, x, values)
    with f.when(f.compare("ne", "%is_last", 0)):
        for token, row in enumerate(sums):
            for vector, slot in enumerate(row):
                y = f.at("%y", f.mul(token, "%y_stride"), vector * spec.lanes * spec.item)
                store_floats(f, spec, f.load(spec.floats, slot), y)
    with f.when(f.compare("eq", "%is_last", 0)):
        for place, slot in _partial(f, spec, sums):
            f.store(spec.floats, f.load(spec.floats, slot), place, 4)
    return f.text()


def _partial(f: Function, spec: Spec, sums: list[list[str]]) -> Iterator[tuple[str, str]]:
    """Where each sum stands between spans, and its slot."""
    slots = [slot for row in sums for slot in row]
    for number, slot in enumerate(slots):
        yield f.at("%partial", number * spec.lanes * 4), slot


def _block(f: Function, place: str) -> str:
    """Where the block at `place` of the list lies in the values: there, if there is no order."""
    slot = f.slot("i64")
    f.store("i64", place, slot)
    with f.when(f.compare("ne", "%order", "null", "ptr")):
        f.store("i64", f.number("%order", place), slot)
    return f.load("i64", slot)


def _start(f: Function, spec: Spec, sums: list[list[str]]) -> None:
    """With the bias, or nothing; or with the sums of the span before."""
    for row in sums:
        for slot in row:
            f.do(f"store {zero(spec)}, ptr {slot}")
    with f.when(f.compare("ne", "%bias", "null", "ptr")):
        for vector in range(spec.abreast):
            place = f.at("%bias", vector * spec.lanes * spec.item)
            bias = load_floats(f, spec, place, spec.lanes)
            for row in sums:
                f.store(spec.floats, bias, row[vector])
    with f.when(f.compare("ne", "%goes_on", 0)):
        for place, slot in _partial(f, spec, sums):
            f.store(spec.floats, f.load(spec.floats, place, 4), slot)


def _block_product(f: Function, spec: Spec, sums: list[list[str]], x: str, values: str) -> None:
    """sums += x (tokens, depth) @ values (depth, size)"""
    step = 2 if spec.paired else 1
    with f.loop(0, spec.depth, UNROLL * step) as turn:
        x_here = f.at(x, f.mul(turn, spec.panel_item))
        values_here = f.at(values, f.mul(turn, spec.size * spec.item))
        for k in range(0, UNROLL * step, step):
            weights = _weights(f, spec, values_here, k)
            for token, row in enumerate(sums):
                place = f.at(x_here, (token * spec.depth + k) * spec.panel_item)
                unit = broadcast(f, spec, place)
                for weight, slot in zip(weights, row, strict=True):
                    total = f.load(spec.floats, slot)
                    f.store(spec.floats, multiply_add(f, spec, unit, weight, total), slot)


def _weights(f: Function, spec: Spec, values: str, k: int) -> list[str]:
    """The weights of input k (of k and k + 1 in pairs), a vector for each of those abreast."""
    here = f.at(values, k * spec.size * spec.item)
    if not spec.paired:
        return [
            load_floats(f, spec, f.at(here, vector * spec.lanes * spec.item), spec.lanes)
            for vector in range(spec.abreast)
        ]
    if spec.abreast == 2:  # a row of both vectors in one register
        wide = f"<{2 * spec.lanes} x bfloat>"
        rows = [f.load(wide, f.at(here, row * spec.size * 2), 2) for row in (0, 1)]
        return [interleave(f, "bfloat", rows, 2 * spec.lanes, part) for part in (0, 1)]
    kind = f"<{spec.lanes} x bfloat>"
    result = []
    for vector in range(spec.abreast):
        first = f.at(here, vector * spec.lanes * 2)
        both = [f.load(kind, f.at(first, row * spec.size * 2), 2) for row in (0, 1)]
        result.append(interleave(f, "bfloat", both, spec.lanes))
    return result
