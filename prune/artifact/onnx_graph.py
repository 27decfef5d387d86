"""A model as an ONNX graph: traced by torch's exporter, with dynamic batch and length, then fused.

The fusions are those of onnxscript, which match what torch's exporter writes and take the heads of
each layer as they are; those of onnxruntime.transformers find no attention in such a graph
(docs/notes/export.md).
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from prune.artifact import example
from prune.errors import ExportError
from prune.nonorm import replace
from prune.speed.files import need

OUTPUTS = (
    "start_logits",
    "end_logits",
    "logits",
    "last_hidden_state",
)  # what is exported, if there
ATTENTIONS = ("Attention", "MultiHeadAttention")
LARGEST = 1.8e9  # bytes that one protobuf file holds, and a little less
FOLDABLE = 1 << 30  # bytes: weights of queries, keys and values are joined in the file


@dataclass(frozen=True)
class Signature:
    """Example inputs (batch, ...) by name, in order, and the names of the outputs."""

    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]

    def axes(self, name: str) -> dict[int, str]:
        """The axes of an input that may have any size."""
        if self.inputs[name].dim() != 2:
            return {0: "batch"}
        return {0: "batch", 1: "decoder_length" if name.startswith("decoder") else "length"}


def signature(model: PreTrainedModel, names: Sequence[str] = ()) -> Signature:
    """What the exported model reads and gives. names: what its tokenizer gives."""
    inputs = example.inputs(model, rows=3, length=11)
    if "token_type_ids" in names and (getattr(model.config, "type_vocab_size", 0) or 0) > 1:
        inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    with torch.inference_mode():
        found = model(**inputs)
    outputs = tuple(name for name in OUTPUTS if name in found)
    if not outputs:
        raise ExportError(f"{type(model).__name__} gives none of {', '.join(OUTPUTS)}")
    return Signature(inputs, outputs)


def trace(model: PreTrainedModel, what: Signature) -> Any:
    """The graph, an onnx_ir.Model. Raises ExportError if torch's exporter cannot do it."""
    need("onnxscript", "onnx")
    copied: Any = copy.deepcopy(model)
    copied = copied.cpu().float().eval()
    if hasattr(copied.config, "use_cache"):
        copied.config.use_cache = False
    _without_nothing(copied)
    # Written out, so that the fusions see it; torch's own fused one gives a longer graph.
    copied.set_attn_implementation("eager")
    axes: list[dict[int, Any]] = [dict.fromkeys(what.axes(n), Dim.DYNAMIC) for n in what.inputs]
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(
                _Logits(copied, what),
                tuple(what.inputs.values()),
                dynamic_shapes=(tuple(axes),),
                strict=False,
            )
            exported = torch.onnx.export(
                program,
                (),
                dynamo=True,
                input_names=list(what.inputs),
                output_names=list(what.outputs),
                verbose=False,
            )
    except Exception as error:
        raise ExportError(
            f"torch's ONNX exporter cannot trace {type(model).__name__}: {_reason(error)}"
        ) from error
    assert exported is not None
    _name_axes(exported.model, what)
    _norms_alone(exported.model)
    return exported.model


def fuse(graph: Any) -> tuple[Any, int]:
    """The same with ONNX Runtime's own operators, and how many attentions were fused."""
    fusions = need("onnxscript.rewriter.ort_fusions", "onnx")
    optimizer = need("onnxscript.optimizer", "onnx")
    with _quiet():
        fused, _ = fusions.optimize_for_ort(graph)
        optimizer.optimize(fused, input_size_limit=FOLDABLE, output_size_limit=FOLDABLE)
    return fused, sum(node.op_type in ATTENTIONS for node in fused.graph)


def save(graph: Any, path: Path) -> None:
    """One file; the weights beside it where they are too large for that."""
    ir = need("onnx_ir", "onnx")
    weights = sum(v.const_value.nbytes for v in graph.graph.initializers.values() if v.const_value)
    ir.save(graph, str(path), external_data=f"{path.name}.data" if weights > LARGEST else None)


def load(path: Path) -> Any:
    return need("onnx_ir", "onnx").load(str(path))


class _Nothing(nn.Module):
    """A matrix without rows: (..., features) -> (..., 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., :0]


class _Constant(nn.Module):
    """A matrix without columns: (..., 0) -> its bias, (..., features)."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        weight, bias = linear.weight, linear.bias
        assert isinstance(weight, Tensor)
        self.bias = bias if isinstance(bias, nn.Parameter) else weight.new_zeros(weight.shape[0])

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(*x.shape[:-1], -1)


def _without_nothing(model: nn.Module) -> None:
    """Put constants in the place of matrices with nothing left: not every runtime takes them."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and module.in_features == 0:
            replace(model, name, _Constant(module))
        elif isinstance(module, nn.Linear | Conv1D) and 0 in module.weight.shape:
            replace(model, name, _Nothing())


class _Logits(nn.Module):
    """The model with nothing but the inputs and outputs of a signature, all in order."""

    def __init__(self, model: PreTrainedModel, what: Signature) -> None:
        super().__init__()
        self.model, self.names, self.outputs = model, list(what.inputs), what.outputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        found: Mapping[str, Tensor] = self.model(**dict(zip(self.names, tensors, strict=True)))
        return tuple(found[name] for name in self.outputs)


def _name_axes(graph: Any, what: Signature) -> None:
    ir = need("onnx_ir", "onnx")
    for value in graph.graph.inputs:
        names = what.axes(value.name)
        value.shape = ir.Shape([names.get(i, size) for i, size in enumerate(value.shape)])


def _norms_alone(graph: Any) -> None:
    """Say Sum for an Add that a layer norm reads: nothing then fuses the two.

    ONNX Runtime's kernel for both (SkipLayerNormalization) takes three to six times as long on a
    CPU as one for each: in a pruned network that was a fifth of the whole time.
    """
    for node in graph.graph:
        if node.op_type == "LayerNormalization" and (before := node.inputs[0].producer()):
            before.op_type = "Sum" if before.op_type == "Add" else before.op_type


@contextmanager
def _quiet() -> Iterator[None]:
    """What the exporter says of its own inner life is no news to whoever exports."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: BaseException) -> str:
    """The first line of the innermost error that says something."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
