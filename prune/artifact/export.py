"""A saved model as files for other runtimes: ONNX, int8, OpenVINO; each verified by running it.

model.onnx          fused for ONNX Runtime; logits equal to the model's within 1e-3
model.int8.onnx     8-bit; no logits are promised, so its quality has to be measured
model.xml, .bin     the same for OpenVINO
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prune.artifact import example, onnx_graph, quantize
from prune.artifact.onnx_graph import Signature
from prune.errors import ExportError
from prune.speed.files import FROM_FILE, need
from prune.speed.runtimes import Batch, Runtime

TOLERANCE = 1e-3  # of logits, fp32
ONNX, OPENVINO = "model.onnx", "model.xml"
INT8 = {"dynamic": "model.int8.onnx", "static": "model.int8.static.onnx"}


@dataclass(frozen=True)
class Exported:
    """One file, the runtime that runs it, and how far its logits are from the model's."""

    name: str  # "onnx", "int8", "int8_static", "openvino", "openvino_int8"
    path: Path
    runtime: str  # a key of FROM_FILE
    difference: float
    note: str = ""

    @property
    def size_mb(self) -> float:
        """Megabytes (1e6 bytes), with the weights where they lie in a file of their own."""
        beside = self.path.with_suffix(".bin") if self.path.suffix == ".xml" else None
        beside = beside or Path(f"{self.path}.data")
        files = [self.path, *([beside] if beside.is_file() else [])]
        return sum(file.stat().st_size for file in files) / 1e6

    def open(self) -> Runtime:
        runtime = FROM_FILE[self.runtime](self.path)
        if "int8" in self.name:
            runtime.dtype = "int8"
        return runtime


def export(
    model: PreTrainedModel,
    folder: Path,
    inputs: Sequence[str] = (),
    int8: Sequence[str] = (),
    calibration: Iterable[Batch] = (),
    openvino: bool = False,
    fuse: bool = True,
) -> list[Exported]:
    """Write the files into `folder`, which is there, and verify each.

    inputs: the names of what the tokenizer gives. int8: "dynamic", "static" with the batches of
    `calibration`, or both. fuse: with ONNX Runtime's own operators; without, any runtime reads
    model.onnx.
    Raises ExportError for a model that cannot be exported, or a file whose logits are not equal;
    MissingInputError for a package that is not installed.
    """
    need("onnxruntime", "onnx")
    if openvino:
        need("openvino", "openvino")
    what = onnx_graph.signature(model, inputs)
    plain = folder / "plain.onnx"
    onnx_graph.save(onnx_graph.trace(model, what), plain)
    _verified(model, what, plain, "onnx")
    found = [_fused(model, what, plain, folder / ONNX) if fuse else _plain(model, what, plain)]
    if openvino:
        found.append(_openvino(model, what, plain, folder / OPENVINO))
    if "dynamic" in int8:
        target = folder / INT8["dynamic"]
        quantize.dynamic(plain, target)
        found.append(_measured("int8", model, what, target, "onnx"))
    if "static" in int8:
        target = folder / INT8["static"]
        quantize.static(plain, target, calibration)
        found.append(_measured("int8_static", model, what, target, "onnx"))
        if openvino:
            found.append(_measured("openvino_int8", model, what, target, "openvino"))
    for file in folder.glob("plain.onnx*"):
        file.unlink()
    return found


@torch.inference_mode()
def difference(model: PreTrainedModel, runtime: Runtime, what: Signature) -> float:
    """The largest difference of what both give for two shapes of inputs, padding excluded."""
    worst = 0.0
    for batch in _probes(model, what):
        expected: Mapping[str, Tensor] = model(**batch)
        got = runtime(batch)
        for name in what.outputs:
            apart = (got[name] - expected[name]).abs()
            mask = batch.get("attention_mask")
            of_tokens = name != "logits" or apart.dim() == 3
            if mask is not None and of_tokens and apart.shape[:2] == mask.shape:
                apart = apart[mask.bool()]
            worst = max(worst, apart.max().item()) if apart.isfinite().all() else float("nan")
            if worst != worst:
                return worst
    return worst


def _probes(model: PreTrainedModel, what: Signature) -> list[dict[str, Tensor]]:
    """One short input alone, and a few that are longer, one with padding at its end."""
    found = []
    for rows, length in ((1, 6), (4, 21)):
        batch = example.inputs(model, rows, length)
        if "token_type_ids" in what.inputs:
            kinds = torch.arange(batch["input_ids"].shape[1]) > 3
            batch["token_type_ids"] = kinds.long().expand_as(batch["input_ids"]).contiguous()
        if rows > 1 and "attention_mask" in batch and "decoder_input_ids" not in batch:
            batch["attention_mask"][-1, batch["attention_mask"].shape[1] // 2 :] = 0
        found.append(batch)
    return found


def _verified(model: PreTrainedModel, what: Signature, path: Path, runtime: str) -> float:
    """Raises ExportError if the file does not give the model's logits."""
    worst = difference(model, FROM_FILE[runtime](path), what)
    if not worst <= TOLERANCE:
        raise ExportError(
            f"the logits of {path.name} differ by {worst:.1e} from the model's (at most "
            f"{TOLERANCE:g}): nothing was exported; please report this with the model's config"
        )
    return worst


def _plain(model: PreTrainedModel, what: Signature, plain: Path) -> Exported:
    path = plain.with_name(ONNX)
    onnx_graph.save(onnx_graph.load(plain), path)
    return Exported("onnx", path, "onnx", _verified(model, what, path, "onnx"), "not fused")


def _fused(model: PreTrainedModel, what: Signature, plain: Path, path: Path) -> Exported:
    """The plain graph is kept where the fused one does not load or does not give equal logits."""
    try:
        graph, attentions = onnx_graph.fuse(onnx_graph.load(plain))
        onnx_graph.save(graph, path)
        note = f"{attentions} attentions fused"
        return Exported("onnx", path, "onnx", _verified(model, what, path, "onnx"), note)
    except Exception as error:  # of onnxscript's rewriter: anything
        why = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        kept = _plain(model, what, plain)
        return Exported("onnx", path, "onnx", kept.difference, f"not fused: {why}")


def _openvino(model: PreTrainedModel, what: Signature, plain: Path, path: Path) -> Exported:
    openvino: Any = need("openvino", "openvino")
    try:
        network = openvino.Core().read_model(str(plain))
        openvino.save_model(network, str(path), compress_to_fp16=False)
    except RuntimeError as error:
        words = " ".join(str(error).split())
        raise ExportError(f"OpenVINO cannot convert the graph: {words[-200:]}") from error
    return Exported("openvino", path, "openvino", _verified(model, what, path, "openvino"))


def _measured(
    name: str, model: PreTrainedModel, what: Signature, path: Path, runtime: str
) -> Exported:
    return Exported(name, path, runtime, difference(model, FROM_FILE[runtime](path), what))
