"""The two Triton kernels. Tokens are the M side of each product, and no branch is in the loops.

A piece is the largest power of two that divides a block's side: 48 is three pieces of 16.
"""
# Triton's language is not Python's, whatever it looks like: its types are checked by its compiler.
# mypy: ignore-errors

import triton
import triton.language as tl

LISTS = ["start", "other", "order"]  # parts of one tensor: their alignment says nothing


@triton.jit(do_not_specialize_on_alignment=LISTS)
def product(
    x,
    values,
    bias,
    y,
    start,
    other,
    order,
    tokens,
    x_stride,
    y_stride,
    depth_stride,  # from one input of a block to the next, in its values
    size_stride,  # from one output to the next
    DEPTH: tl.constexpr,
    SIZE: tl.constexpr,
    DEPTH_PIECE: tl.constexpr,
    SIZE_PIECE: tl.constexpr,
    TOKENS: tl.constexpr,
    ORDERED: tl.constexpr,
    BIASED: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
    STAGES: tl.constexpr,
):
    """One program: TOKENS tokens x a piece of one block row (or column, by transposed lists)."""
    row = tl.program_id(1)
    token = tl.program_id(0).to(tl.int64) * TOKENS + tl.arange(0, TOKENS)
    output = tl.program_id(2) * SIZE_PIECE + tl.arange(0, SIZE_PIECE)
    unit = tl.arange(0, DEPTH_PIECE)
    here = (token < tokens)[:, None]
    x_here = x + token[:, None] * x_stride + unit[None, :]
    values_here = values + unit[:, None] * depth_stride + output[None, :] * size_stride
    sums = tl.zeros((TOKENS, SIZE_PIECE), dtype=tl.float32)
    # 64 bits: blocks may lie beyond 2**31 numbers.
    begin, end = tl.load(start + row).to(tl.int64), tl.load(start + row + 1).to(tl.int64)
    for place in tl.range(begin, end, num_stages=STAGES):
        column = tl.load(other + place).to(tl.int64)
        block = tl.load(order + place).to(tl.int64) if ORDERED else place
        for piece in tl.static_range(0, DEPTH, DEPTH_PIECE):
            units = tl.load(x_here + column * DEPTH + piece, mask=here, other=0.0)
            weight = tl.load(values_here + block * DEPTH * SIZE + piece * depth_stride)
            if WIDEN:
                units, weight = units.to(tl.float32), weight.to(tl.float32)
            sums = tl.dot(units, weight, sums, input_precision=PRECISION)
    output += row * SIZE
    if BIASED:
        sums += tl.load(bias + output)[None, :].to(tl.float32)
    y_here = y + token[:, None] * y_stride + output[None, :]
    tl.store(y_here, sums.to(y.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize_on_alignment=["row_of", "column_of"])
def sampled(
    x,
    grad,
    out,
    row_of,
    column_of,
    tokens,
    x_stride,
    grad_stride,
    live,
    share,  # tokens that one program sums over
    DEPTH: tl.constexpr,
    SIZE: tl.constexpr,
    DEPTH_PIECE: tl.constexpr,
    SIZE_PIECE: tl.constexpr,
    TOKENS: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
    STAGES: tl.constexpr,
):
    """One program: a piece of one live block, summed over a share of the tokens."""
    block, split = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    pieces: tl.constexpr = SIZE // SIZE_PIECE
    unit = tl.program_id(2) // pieces * DEPTH_PIECE + tl.arange(0, DEPTH_PIECE)
    output = tl.program_id(2) % pieces * SIZE_PIECE + tl.arange(0, SIZE_PIECE)
    x_here = x + (tl.load(column_of + block).to(tl.int64) * DEPTH + unit)[:, None]
    grad_here = grad + (tl.load(row_of + block).to(tl.int64) * SIZE + output)[None, :]
    sums = tl.zeros((DEPTH_PIECE, SIZE_PIECE), dtype=tl.float32)
    first = split * share
    for begin in tl.range(first, tl.minimum(first + share, tokens), TOKENS, num_stages=STAGES):
        token = begin + tl.arange(0, TOKENS).to(tl.int64)
        there = token < tokens
        units = tl.load(x_here + (token * x_stride)[None, :], mask=there[None, :], other=0.0)
        outputs = tl.load(
            grad_here + (token * grad_stride)[:, None], mask=there[:, None], other=0.0
        )
        if WIDEN:
            units, outputs = units.to(tl.float32), outputs.to(tl.float32)
        sums = tl.dot(units, outputs, sums, input_precision=PRECISION)
    target = out + (split * live + block) * DEPTH * SIZE + unit[:, None] * SIZE + output[None, :]
    tl.store(target, sums)
