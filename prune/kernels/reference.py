"""The backend that is right by inspection: make the matrix dense, and multiply. Any device, dtype.

Also what `auto` takes above the density where a kernel would tie with the vendor's product.
"""

from torch import Tensor
from torch.nn.functional import linear

from prune.kernels.layout import Layout, to_values, to_weight


def product(x: Tensor, values: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """y = x W' + b. x: (tokens, in) -> (tokens, out)."""
    return linear(packed(x), to_weight(values, layout), bias)


def transposed(grad: Tensor, values: Tensor, layout: Layout) -> Tensor:
    """dL/dx = dL/dy W. grad: (tokens, out) -> (tokens, in)."""
    return packed(grad) @ to_weight(values, layout)


def sampled(grad: Tensor, x: Tensor, size: tuple[int, int], layout: Layout) -> Tensor:
    """dL/dW = dL/dy' x at the live blocks. size: (height, width) -> (live, width, height)."""
    return to_values(packed(grad.T) @ x, layout)


def packed(left: Tensor) -> Tensor:
    """The same numbers; a copy if they are of 16 bits, in rows with gaps between them.

    With AMX, such a product of torch 2.13 reads what is behind a row whose length is not a multiple
    of 32, and a NaN there times 0 is NaN.
    """
    gaps = left.stride(1) == 1 and left.stride(0) > left.shape[1]
    return left.contiguous() if gaps and left.element_size() == 2 and left.shape[1] % 32 else left
