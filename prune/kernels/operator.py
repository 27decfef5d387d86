"""The block-sparse product as one differentiable function, in eager mode and for torch.compile.

Compiled graphs see three operators of torch.library, opaque but with shapes and gradients; "auto"
is settled when they run. Eager calls skip the dispatcher: at a millisecond a layer its 50
microseconds would count.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prune.kernels import backends
from prune.kernels.layout import Layout


def block_linear(
    x: Tensor, values: Tensor, bias: Tensor | None, layout: Layout, backend: str
) -> Tensor:
    """x: (tokens, in) -> (tokens, out). Raises KernelError if `backend` cannot."""
    if torch.compiler.is_compiling():
        grid = layout.index, layout.rows, layout.columns
        result: Tensor = _product(x, values, bias, *grid, backend)
        return result
    if torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (x, values, bias)
    ):
        result = _Product.apply(x, values, bias, layout, backend)  # type: ignore[no-untyped-call]
        return result
    return _chosen(backend, x, _size(values), layout).product(x, values, bias, layout)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, values: Tensor, bias: Tensor | None, layout: Layout, backend: str
    ) -> Tensor:
        ctx.save_for_backward(x, values, layout.index)
        ctx.grid, ctx.backend = (layout.rows, layout.columns), backend
        return _chosen(backend, x, _size(values), layout).product(x, values, bias, layout)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, values, index = ctx.saved_tensors
        layout = Layout(index, *ctx.grid)
        backend = _chosen(ctx.backend, x, _size(values), layout)
        wants = ctx.needs_input_grad
        return (
            backend.transposed(grad, values, layout) if wants[0] else None,
            backend.sampled(grad, x, _size(values), layout) if wants[1] else None,
            grad.sum(0) if wants[2] else None,
            None,
            None,
        )


@torch.library.custom_op("prune::block_product", mutates_args=())
def _product(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    index: Tensor,
    rows: int,
    columns: int,
    backend: str,
) -> Tensor:
    layout = Layout(index, rows, columns)
    return _chosen(backend, x, _size(values), layout).product(x, values, bias, layout)


@torch.library.custom_op("prune::block_transposed", mutates_args=())
def _transposed(
    grad: Tensor, values: Tensor, index: Tensor, rows: int, columns: int, backend: str
) -> Tensor:
    layout = Layout(index, rows, columns)
    return _chosen(backend, grad, _size(values), layout).transposed(grad, values, layout)


@torch.library.custom_op("prune::block_sampled", mutates_args=())
def _sampled(
    grad: Tensor,
    x: Tensor,
    height: int,
    width: int,
    index: Tensor,
    rows: int,
    columns: int,
    backend: str,
) -> Tensor:
    layout = Layout(index, rows, columns)
    size = height, width
    return _chosen(backend, x, size, layout).sampled(grad, x, size, layout)


@_product.register_fake
def _(
    x: Tensor, values: Tensor, bias: Tensor, index: Tensor, rows: int, columns: int, backend: str
) -> Tensor:
    return x.new_empty(x.shape[0], rows * values.shape[2])


@_transposed.register_fake
def _(grad: Tensor, values: Tensor, index: Tensor, rows: int, columns: int, backend: str) -> Tensor:
    return grad.new_empty(grad.shape[0], columns * values.shape[1])


@_sampled.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    height: int,
    width: int,
    index: Tensor,
    rows: int,
    columns: int,
    backend: str,
) -> Tensor:
    return x.new_empty(Layout(index, rows, columns).live, width, height)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, values, _, index, rows, columns, backend = inputs
    ctx.save_for_backward(x, values, index)
    ctx.grid, ctx.backend = (rows, columns), backend


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, values, index = ctx.saved_tensors
    layout, wants = (index, *ctx.grid), ctx.needs_input_grad
    return (
        _transposed(grad, values, *layout, ctx.backend) if wants[0] else None,
        _sampled(grad, x, *_size(values), *layout, ctx.backend) if wants[1] else None,
        grad.sum(0) if wants[2] else None,
        *[None] * 4,
    )


_product.register_autograd(_backward, setup_context=_setup)


def _chosen(name: str, x: Tensor, size: tuple[int, int], layout: Layout) -> backends.Backend:
    chosen = backends.choose(name, x.device.type, x.dtype, size, layout.density)
    return backends.load(chosen)


def _size(values: Tensor) -> tuple[int, int]:
    """A block's (height, width)."""
    return values.shape[2], values.shape[1]
