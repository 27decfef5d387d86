"""An ONNX file with 8-bit integers in its matrix products and embeddings, made by ONNX Runtime.

Dynamic: activations are quantized batch by batch. Static: with ranges seen on a few real batches,
which is what OpenVINO is fastest with, and what costs more quality.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from prune.speed.files import need
from prune.speed.runtimes import Batch

KINDS = ("dynamic", "static")
OPERATORS = ["MatMul", "Gemm", "Gather"]
EXACT = ("vnni", "amx_int8")  # processors that add products of bytes without overflow say so


def dynamic(source: Path, target: Path) -> None:
    """int8 weights, a scale for each output; activations as they come."""
    quantization = need("onnxruntime.quantization", "onnx")
    with _quiet():
        quantization.quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=OPERATORS,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=_overflows(),
        )


def static(source: Path, target: Path, batches: Iterable[Batch]) -> None:
    """The same with fixed ranges of the activations: the smallest and largest of `batches`."""
    quantization = need("onnxruntime.quantization", "onnx")
    with _quiet():
        quantization.quantize_static(
            str(source),
            str(target),
            _reader(quantization.CalibrationDataReader, source, batches),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=_overflows(),
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"MatMulConstBOnly": True},  # scores and mixtures of attention stay fp32
        )


def _reader(base: Any, source: Path, batches: Iterable[Batch]) -> Any:
    """The batches as ONNX Runtime asks for them."""
    onnx = need("onnx", "onnx")
    graph = onnx.load(str(source), load_external_data=False).graph
    names = [value.name for value in graph.input]
    feeds = iter([_feed(names, batch) for batch in batches])

    class Reader(base):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(feeds, None)

    return Reader()


def _feed(names: list[str], batch: Batch) -> dict[str, NDArray[Any]]:
    whole = {"token_type_ids": torch.zeros_like(batch.get("input_ids", torch.empty(0))), **batch}
    return {name: whole[name].cpu().numpy() for name in names}


def _overflows() -> bool:
    """Whether this processor adds products of bytes in 16 bits, and one of 7 bits is needed."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx2" in text and not any(flag in text for flag in EXACT)


@contextmanager
def _quiet() -> Iterator[None]:
    """It warns, through the root logger, of a preparation that torch's exporter has done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
