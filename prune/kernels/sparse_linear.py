"""`BlockSparseLinear`: a linear layer that holds only the live blocks of its weight."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, Self, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from prune.errors import KernelError
from prune.kernels import backends
from prune.kernels.layout import Layout, to_values, to_weight
from prune.kernels.operator import block_linear
from prune.kernels.pattern import Size, cut, pattern_of, random_pattern


@final
class BlockSparseLinear(nn.Module):
    """y = x W' + b, in place of `nn.Linear`; W (out, in) is zero outside its live blocks.

    values: (live, width, height), each the transpose of a block of W, by block rows.
    index: where they lie (see prune.kernels.layout). bias: (out,) or None.
    backend: "auto", "reference", "rows", "llvm" (CPU) or "triton" (CUDA); may be set at any time.
    "auto" keeps a dense matrix as well, for inference, where that is faster: of a layer that is
    all but full, and for a token or two.
    `torch.export` and ONNX get a dense matrix. Not differentiable twice.
    """

    values: nn.Parameter
    index: Tensor
    bias: nn.Parameter | None
    _kept: tuple[object, Tensor] | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        density: float = 0.5,
        block: Size = (32, 32),
        bias: bool = True,
        backend: str = backends.AUTO,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Random live blocks, `density` of all; weights as nn.Linear has them for as few inputs.

        block: (height, width) in outputs and inputs. Raises KernelError if it does not divide.
        """
        pattern = random_pattern(cut((out_features, in_features), block), density).to(device)
        layout = Layout.of(pattern)
        values = torch.empty(layout.live, block[1], block[0], device=device, dtype=dtype)
        offsets = torch.empty(out_features, device=device, dtype=dtype) if bias else None
        self._set(values, offsets, layout, backend)
        bound = 1 / math.sqrt(max(1, round(density * in_features)))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, mask_or_block: Tensor | Sequence[int], backend: str = backends.AUTO
    ) -> Self:
        """The live blocks of a linear layer, copied.

        mask_or_block: a block's (height, width): live is each that has a weight which is not zero;
        or a mask, of weights (out, in) or of blocks (R, C): the rest is cut off, whatever it holds.
        """
        weight = linear.weight.detach()
        pattern = pattern_of(weight, mask_or_block)
        layout = Layout.of(pattern)
        bias = linear.bias.detach().clone() if linear.bias is not None else None
        self = cls.__new__(cls)
        self._set(to_values(weight, layout), bias, layout, backend)
        self.train(linear.training)
        for name, parameter in self.named_parameters():
            like = linear.bias if name == "bias" else linear.weight
            parameter.requires_grad_(like.requires_grad)
        return self

    def to_linear(self) -> nn.Linear:
        """The dense layer with the same outputs."""
        dense = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        dense.weight = nn.Parameter(self.weight.detach(), self.values.requires_grad)
        if self.bias is not None:
            dense.bias = nn.Parameter(self.bias.detach().clone(), self.bias.requires_grad)
        return dense.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), contiguous."""
        values: Tensor = self.values
        bias: Tensor | None = self.bias
        device = x.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            x, values = x.to(dtype), values.to(dtype)
            bias = bias.to(dtype) if bias is not None else None
        if x.shape[-1] != self.in_features or x.dtype != values.dtype:
            raise KernelError(
                f"the layer reads (..., {self.in_features}) {values.dtype}, "
                f"not {tuple(x.shape)} {x.dtype}"
            )
        layout = self.layout
        if _leaves_torch():
            return linear(x, to_weight(values, layout), bias)
        if self._is_faster_dense(x, layout.density):
            return linear(x, self._dense(values), bias)
        if x.dim() == 2:
            return block_linear(x, values, bias, layout, self.backend)
        y = block_linear(x.reshape(-1, self.in_features), values, bias, layout, self.backend)
        return y.view(*x.shape[:-1], self.out_features)

    def _is_faster_dense(self, x: Tensor, density: float) -> bool:
        if (
            self.backend != backends.AUTO
            or torch.is_grad_enabled()
            or torch.compiler.is_compiling()
        ):
            return False
        kind = x.device.type, x.dtype, self.block
        few = x.numel() * self.out_features < backends.FEW.get(x.device.type, 0)
        worth_it = not few and backends.worth_it(*kind, density)
        return not worth_it and not self.values.is_inference()

    def _dense(self, values: Tensor) -> Tensor:
        """The matrix, kept until the weights change. Only for inference above the tie."""
        of = self.values
        key = (of.data_ptr(), of._version, self.index.data_ptr(), self.index._version, values.dtype)
        if self._kept is None or self._kept[0] != key:
            self._kept = key, to_weight(values.detach(), self.layout)
        return self._kept[1]

    def train(self, mode: bool = True) -> Self:
        self._kept = None
        return super().train(mode)

    @property
    def layout(self) -> Layout:
        return Layout(self.index, *self.grid)

    @property
    def block(self) -> Size:
        """(height, width) of a block."""
        return self.out_features // self.grid[0], self.in_features // self.grid[1]

    @property
    def density(self) -> float:
        """Share of the blocks that live."""
        return self.layout.density

    @property
    def weight(self) -> Tensor:
        """(out, in) with its zeros, made anew each time; differentiable."""
        return to_weight(self.values, self.layout)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, block={self.block[0]}x{self.block[1]}, "
            f"density={self.density:.3f}, backend={self.backend}"
        )

    def _set(self, values: Tensor, bias: Tensor | None, layout: Layout, backend: str) -> None:
        nn.Module.__init__(self)
        size = (values.shape[2], values.shape[1])
        backends.check(backend, values.device.type, values.dtype, size)
        self.grid = layout.rows, layout.columns
        self.out_features, self.in_features = layout.rows * size[0], layout.columns * size[1]
        self.backend = backend
        self._kept = None
        self.values = nn.Parameter(values)
        self.bias = nn.Parameter(bias) if bias is not None else None
        self.register_buffer("index", layout.index)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """A saved layer brings its own pattern: it may have more or fewer live blocks."""
        index, values = state_dict.get(f"{prefix}index"), state_dict.get(f"{prefix}values")
        if index is not None and values is not None:
            layout = Layout(index, *self.grid)
            layout.check()
            if values.shape != (layout.live, *self.values.shape[1:]):
                raise KernelError(
                    f"{prefix}values are {tuple(values.shape)}, but its index tells of "
                    f"{layout.live} blocks of {self.block[0]}x{self.block[1]}"
                )
            if len(values) != len(self.values):
                self.values.data = self.values.data.new_empty(values.shape)
                self.index = self.index.new_empty(index.shape)
        super()._load_from_state_dict(state_dict, prefix, *others)


def _leaves_torch() -> bool:
    """Whether a graph is made that others will run: they have no such operator. Says so."""
    leaves: bool = torch.compiler.is_exporting() or torch.jit.is_tracing()  # type: ignore[no-untyped-call, attr-defined]
    if leaves and not torch.compiler.is_dynamo_compiling():
        warnings.warn(
            "a block-sparse layer is exported as a dense matrix: nothing else has such layers",
            UserWarning,
            stacklevel=3,
        )
    return leaves
