"""Random block-sparse products and what they must be: the dense ones in float64."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from prune.kernels import reference
from prune.kernels.backends import Backend
from prune.kernels.layout import Layout

PATTERNS: dict[str, Callable[[int, int], Tensor]] = {
    "random": lambda r, c: torch.rand(r, c) < 0.4,
    "empty": lambda r, c: torch.zeros(r, c, dtype=torch.bool),
    "full": lambda r, c: torch.ones(r, c, dtype=torch.bool),
    "empty rows": lambda r, c: (torch.arange(r) % 2 == 0)[:, None].expand(r, c).clone(),
    "empty columns": lambda r, c: (torch.arange(c) % 2 == 1)[None].expand(r, c).clone(),
    "first": lambda r, c: torch.arange(r * c).view(r, c) == 0,
    "last": lambda r, c: torch.arange(r * c).view(r, c) == r * c - 1,
}


@dataclass
class Problem:
    """Inputs of the three functions, all (tokens, features)."""

    x: Tensor
    values: Tensor
    bias: Tensor | None
    grad: Tensor
    layout: Layout

    @property
    def size(self) -> tuple[int, int]:
        return self.values.shape[2], self.values.shape[1]


def problem(
    tokens: int,
    grid: tuple[int, int] = (5, 4),
    size: tuple[int, int] = (32, 32),
    dtype: torch.dtype = torch.float32,
    pattern: str = "random",
    bias: bool = True,
    gap: int = 0,
    seed: int = 0,
    across: bool = False,
) -> Problem:
    """gap: unused features between the rows of x and of grad, which hold NaN. across: these are
    stored feature by feature.
    """
    torch.manual_seed(seed)
    layout = Layout.of(PATTERNS[pattern](*grid))
    stored = laid_across if across else spaced
    return Problem(
        x=stored(torch.randn(tokens, grid[1] * size[1]).to(dtype), gap),
        values=torch.randn(layout.live, size[1], size[0]).to(dtype),
        bias=torch.randn(grid[0] * size[0]).to(dtype) if bias else None,
        grad=stored(torch.randn(tokens, grid[0] * size[0]).to(dtype), gap),
        layout=layout,
    )


def spaced(x: Tensor, gap: int) -> Tensor:
    """The same numbers, with `gap` NaN between the rows."""
    wide = torch.full((len(x), x.shape[1] + gap), torch.nan, dtype=x.dtype)
    wide[:, : x.shape[1]] = x
    return wide[:, : x.shape[1]]


def laid_across(x: Tensor, gap: int) -> Tensor:
    """The same numbers, with `gap` NaN between the columns, which lie each in one piece."""
    return spaced(x.T, gap).T


def results(backend: Backend, given: Problem) -> dict[str, Tensor]:
    return {
        "product": backend.product(given.x, given.values, given.bias, given.layout),
        "transposed": backend.transposed(given.grad, given.values, given.layout),
        "sampled": backend.sampled(given.grad, given.x, given.size, given.layout),
    }


def expected(given: Problem) -> dict[str, Tensor]:
    """In float64."""
    bias = given.bias.double() if given.bias is not None else None
    exact = Problem(
        given.x.double(), given.values.double(), bias, given.grad.double(), given.layout
    )
    return results(reference, exact)


def assert_right(backend: Backend, given: Problem) -> None:
    ours = results(backend, given)
    for name, right in expected(given).items():
        found = ours[name]
        assert found.shape == right.shape and found.dtype == given.x.dtype, name
        # Sums are fp32: what is left is the rounding of the result, and of few hundred additions.
        relative = {torch.bfloat16: 8e-3, torch.float16: 1e-3}.get(given.x.dtype, 2e-5)
        scale = right.abs().max().item() if right.numel() else 0.0
        apart = (found.double() - right).abs().max().item() if right.numel() else 0.0
        assert apart <= relative * scale, f"{name}: {apart} of {scale}"
