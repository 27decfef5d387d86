"""What can run a network: one small interface, and the runtimes that start from a model in memory.

A runtime takes a batch, input names -> tensors, and gives the outputs by name. Those that start
from an exported file are in `prune.speed.files`. To add one: a final class here, and its line in
`FROM_MODEL`.
"""

import copy
import inspect
import shutil
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prune.errors import KernelError, MissingInputError
from prune.kernels import BlockSparseLinear
from prune.kernels.convert import convert
from prune.speed.inputs import one_pass, writes

Batch = Mapping[str, Tensor]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
AGREE = {"fp32": 1e-4, "bf16": 5e-2}  # relative difference of outputs that sums in turn explain


class Runtime(ABC):
    """A network that is ready to run."""

    name: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]] = ("fp32", "bf16")  # what it can compute in
    dtype: str = "fp32"
    device: torch.device = torch.device("cpu")
    note: str = ""  # what it made of the model, one line

    @abstractmethod
    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """The outputs of one forward pass, by name."""

    def once(self, batch: Batch) -> None:
        """One pass as whoever uses it would make it; this is what is timed."""
        self(batch)

    def check(self, batch: Batch) -> None:  # noqa: B027 (most run the model as it is)
        """Called before it is timed: raises KernelError if its outputs are not the model's."""


@final
class Eager(Runtime):
    """The model as it is; in `dtype`, if one is named."""

    name: ClassVar[str] = "eager"

    def __init__(self, model: PreTrainedModel, dtype: str | None = None) -> None:
        self.model = _ready(model, dtype)
        self.device, self.dtype = self.model.device, _dtype(self.model)

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        network: Any = self.model
        with torch.inference_mode():
            outputs: Mapping[str, Tensor] = network(**batch)
        return outputs

    def once(self, batch: Batch) -> None:
        with torch.inference_mode():
            one_pass(self.model, dict(batch))  # a network that writes text writes some


_ISOLATES = "isolate_recompiles" in inspect.signature(torch.compile).parameters  # torch 2.13


@final
class Compiled(Runtime):
    """torch.compile, with dynamic batch and length: once for all cells of a grid."""

    name: ClassVar[str] = "compiled"

    def __init__(self, model: PreTrainedModel, dtype: str | None = None) -> None:
        self.model = _ready(model, dtype)
        self.device, self.dtype = self.model.device, _dtype(self.model)
        if self.device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
            raise MissingInputError("the runtime `compiled` needs a C++ compiler, such as g++")
        # Of one function torch compiles eight versions, then runs it eagerly and only warns; the
        # forward of all networks of a kind is one function. So each network by itself.
        alone: dict[str, Any] = {"isolate_recompiles": True} if _ISOLATES else {}
        self.compiled: Any = torch.compile(self.model, dynamic=True, **alone)

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        # Not inference_mode: its tensors have no version counters, and each is a new graph.
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs: Mapping[str, Tensor] = self.compiled(**batch)
        return outputs


@final
class TorchInt8(Runtime):
    """torch's own dynamic quantization: int8 weights, activations quantized batch by batch.

    Deprecated and still there in torch 2.13; its successor torchao is as fast only when compiled.
    """

    name: ClassVar[str] = "torch_int8"
    dtypes: ClassVar[tuple[str, ...]] = ("int8",)
    dtype: str = "int8"

    def __init__(self, model: PreTrainedModel, dtype: str | None = None) -> None:
        quantize = getattr(getattr(torch.ao, "quantization", None), "quantize_dynamic", None)
        if quantize is None:
            raise MissingInputError("this torch has no quantize_dynamic: use the runtime int8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is deprecated
            plain = _ready(model, "fp32").cpu()
            self.model: Any = quantize(plain, {nn.Linear}, dtype=torch.qint8)

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        with torch.inference_mode():
            outputs: Mapping[str, Tensor] = self.model(**batch)
        return outputs


@final
class BlockSparse(Runtime):
    """In eager mode, each linear layer by its live blocks alone where that is faster."""

    name: ClassVar[str] = "block_sparse"

    def __init__(self, model: PreTrainedModel, dtype: str | None = None) -> None:
        self.eager = Eager(model, dtype)
        self.device, self.dtype = self.eager.device, self.eager.dtype
        self.sparse = Eager(convert(self.eager.model))
        modules = list(self.sparse.model.modules())
        densities = [m.density for m in modules if isinstance(m, BlockSparseLinear)]
        dense = sum(type(m) is nn.Linear for m in modules)
        self.note = f"{len(densities)} of {len(densities) + dense} linear layers by their blocks"
        if densities:
            ends = dict.fromkeys(f"{end:.2f}" for end in (min(densities), max(densities)))
            self.note += f", which are {' to '.join(ends)} of each"
        else:
            self.note += ": a dense product is as fast, so this is eager"

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        return self.sparse(batch)

    def once(self, batch: Batch) -> None:
        self.sparse.once(batch)

    def check(self, batch: Batch) -> None:
        """Compare all outputs with those of eager mode, by their norms."""
        inputs = dict(batch)
        if writes(self.eager.model):
            inputs["decoder_input_ids"] = inputs["input_ids"][:, :8]
        ours, right = self.sparse(inputs), self.eager(inputs)
        for name in (n for n, value in right.items() if _is_numbers(value)):
            apart = (ours[name].float() - right[name].float()).norm()
            if not apart <= AGREE.get(self.dtype, AGREE["bf16"]) * right[name].float().norm():
                raise KernelError(
                    f"block_sparse gives another {name} than eager (off by a norm of {apart:.2g}): "
                    "leave this runtime out, and please report it"
                )


FROM_MODEL: dict[str, Callable[[PreTrainedModel, str | None], Runtime]] = {
    "eager": Eager,
    "compiled": Compiled,
    "torch_int8": TorchInt8,
    "block_sparse": BlockSparse,
}


def _ready(model: PreTrainedModel, dtype: str | None) -> PreTrainedModel:
    """In eval mode, and a copy if its numbers have to change."""
    network: Any = model
    if dtype is not None and model.dtype != DTYPES[dtype]:
        network = copy.deepcopy(model).to(DTYPES[dtype])  # type: ignore[arg-type]
    ready: PreTrainedModel = network.eval()
    return ready


def _is_numbers(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _dtype(model: PreTrainedModel) -> str:
    return next((n for n, d in DTYPES.items() if d == model.dtype), str(model.dtype))
