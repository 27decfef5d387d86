"""The backend that is right by inspection: make the matrix dense, and multiply. Any device, dtype.

Also what `auto` takes above the density where a kernel would tie with the vendor's product.
"""

from torch import Tensor
from torch.nn.functional import linear

from prune.kernels.layout import Layout, to_values, to_weight


def product(x: Tensor, values: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """y = x W' + b. x: (tokens, in) -> (tokens, out)."""
    return linear(x, to_weight(values, layout), bias)


def transposed(grad: Tensor, values: Tensor, layout: Layout) -> Tensor:
    """dL/dx = dL/dy W. grad: (tokens, out) -> (tokens, in)."""
    return grad @ to_weight(values, layout)


def sampled(grad: Tensor, x: Tensor, size: tuple[int, int], layout: Layout) -> Tensor:
    """dL/dW = dL/dy' x at the live blocks. size: (height, width) -> (live, width, height)."""
    return to_values(grad.T @ x, layout)
