"""The runtimes that run an exported file: ONNX Runtime and OpenVINO."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from prune.errors import ExportError, MissingInputError
from prune.speed.runtimes import Batch, Runtime


def need(module: str, extra: str) -> Any:
    """The module of an optional package. Raises MissingInputError with the extra to install."""
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise MissingInputError(f"{name} is not installed: pip install 'prune[{extra}]'") from error


@final
class OnnxFile(Runtime):
    """An ONNX file in ONNX Runtime, on the CPU, with as many threads as torch has now.

    Its threads do not spin when there is nothing to do: they would slow down what runs in turn.
    """

    name: ClassVar[str] = "onnx"
    dtypes: ClassVar[tuple[str, ...]] = ("fp32",)

    def __init__(self, path: Path, dtype: str | None = None) -> None:
        runtime = need("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self.session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common class of their own
            raise ExportError(f"ONNX Runtime cannot load {path}: {_line(error)}") from error
        self.inputs = [i.name for i in self.session.get_inputs()]
        self.outputs = [o.name for o in self.session.get_outputs()]

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        feed = {name: tensor.numpy() for name, tensor in _feed(self.inputs, batch).items()}
        values = self.session.run(None, feed)
        return {n: torch.from_numpy(v) for n, v in zip(self.outputs, values, strict=True)}


@final
class OpenVinoFile(Runtime):
    """An ONNX file, or one of OpenVINO's own, in OpenVINO, on the CPU."""

    name: ClassVar[str] = "openvino"

    def __init__(self, path: Path, dtype: str | None = None) -> None:
        core = need("openvino", "openvino").Core()
        self.dtype = dtype or "fp32"
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # to a core that may be somebody else's
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[self.dtype],
        }
        try:
            self.compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
        except RuntimeError as error:
            raise ExportError(f"OpenVINO cannot load {path}: {_line(error)}") from error
        self.inputs = [port.get_any_name() for port in self.compiled.inputs]
        # A result may have several names, when two nodes of the graph are one in OpenVINO.
        self.outputs = [(name, p) for p in self.compiled.outputs for name in p.get_names()]

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        feed = {name: tensor.numpy() for name, tensor in _feed(self.inputs, batch).items()}
        values = self.compiled(feed)
        return {name: torch.from_numpy(values[port]) for name, port in self.outputs}


FROM_FILE: dict[str, type[OnnxFile] | type[OpenVinoFile]] = {
    "onnx": OnnxFile,
    "openvino": OpenVinoFile,
}


def _feed(names: list[str], batch: Batch) -> dict[str, Tensor]:
    """What the file wants of `batch`; token types that are not there are 0, as in the model."""
    found = {}
    for name in names:
        if name in batch:
            found[name] = batch[name].cpu()
        elif name == "token_type_ids":
            found[name] = torch.zeros_like(batch["input_ids"]).cpu()
        else:
            raise ExportError(f"the exported model reads {name}, which this batch does not have")
    return found


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
