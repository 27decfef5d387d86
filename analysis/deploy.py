"""What is shipped: the exported files with what was measured of them, and the lines to paste.

`prune export` writes the files in a process of its own, for it loads the model; what it measured of
the very file is read from the export.json that it leaves.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prune.errors import PruneError

FILES = {"onnx": "model.onnx", "int8": "model.int8.onnx", "openvino": "model.xml"}
EVIDENCE = "export.json"
SPARSE = "from prune.kernels.convert import convert"


@dataclass(frozen=True)
class Shipped:
    """One exported file, as it was measured in its runtime."""

    folder: str
    file: str
    runtime: str
    quality: float
    drop: float  # against the dense network
    ms: float
    slow_ms: float  # at the end of its interval
    size_mb: float
    difference: float  # of its logits to the saved model's, the largest


def export(run: str, form: str) -> Path:
    """`export/RUN`, with the files, their model card and what was measured of them.

    Raises PruneError if `prune export` fails; it says why.
    """
    folder = Path("export", run)
    command = [sys.executable, "-P", "-m", "prune", "export", run, f"--{form}"]
    done = subprocess.run([*command, "--out", str(folder)], stdout=sys.stderr)
    if done.returncode:
        raise PruneError(f"the export failed; see: prune export {run} --{form}")
    return folder


def shipped(folder: Path, form: str, cell: tuple[int, int], dense: float, higher: bool) -> Shipped:
    """What `export` measured of its file at that batch and length; `dense`: the dense quality.

    Raises PruneError for a file that was not measured.
    """
    try:
        content = json.loads((folder / EVIDENCE).read_text(encoding="utf-8"))
        row = next(row for row in content["rows"] if row["name"] == form)
        time = next(c for c in row["latency"] if (c["batch"], c["length"]) == cell)
        quality = float(row["quality"][content["metric"]])
        return Shipped(
            *(str(folder), str(row["file"]), str(row["runtime"]), quality),
            drop=(dense - quality) * (1 if higher else -1),
            ms=float(time["pruned_ms"]),
            slow_ms=float(time["pruned_ms"] * time["speedup"] / time["speedup_low"]),
            size_mb=float(row["size_mb"]),
            difference=float(row["difference"]),
        )
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        batch, length = cell
        raise PruneError(
            f"{folder / EVIDENCE} says nothing of {form} at batch {batch} x {length}: "
            "writing text is not measured in other runtimes, and prune export says what was"
        ) from error


def snippet(model: Path, found: Shipped | None, sparse: bool = False) -> list[str]:
    """Lines of Python that load and run it; they work as they are.

    model: the folder of the saved model. found: an exported file to run instead. sparse: whether
    the block-sparse runtime is what was measured.
    """
    kind = kind_of(model)
    folder = str(found.folder if found else model)
    loader, inputs = _inputs(kind)
    reader = [f"from transformers import {loader}", "", f"folder = {folder!r}"]
    numpy = "np" if found else "pt"
    batch = f'batch = {loader}.from_pretrained(folder)({inputs}, return_tensors="{numpy}")'
    if loader == "AutoImageProcessor":
        reader = ["from PIL import Image", *reader, 'picture = Image.new("RGB", (64, 64))  # yours']
    if found is None:
        run = "model.generate(**batch)" if _writes(kind) else "model(**batch)"
        load, imports = "model = prune.load(folder)", ["import prune"]
        if sparse:
            load, imports = "model = convert(prune.load(folder))", [*imports, SPARSE]
        return [*imports, *reader, load, batch, f"outputs = {run}"]
    if found.file.endswith(".onnx"):
        return [
            *("import onnxruntime", *reader),
            f'session = onnxruntime.InferenceSession(folder + "/{found.file}")',
            "names = [value.name for value in session.get_inputs()]",
            *(batch, "outputs = session.run(None, {name: batch[name] for name in names})"),
        ]
    return [
        *("import openvino", *reader),
        f'model = openvino.Core().compile_model(folder + "/{found.file}", "CPU")',
        "names = [port.get_any_name() for port in model.inputs]",
        *(batch, "outputs = model({name: batch[name] for name in names})"),
    ]


def kind_of(model: Path) -> str:
    """The class of a saved model, as `BertForQuestionAnswering`; nothing where it does not say."""
    try:
        content: dict[str, Any] = json.loads((model / "config.json").read_text(encoding="utf-8"))
        return str((content.get("architectures") or [""])[0])
    except (OSError, ValueError, AttributeError, KeyError):
        return ""


def _inputs(kind: str) -> tuple[str, str]:
    """What makes the inputs of such a model, and of what."""
    if kind.endswith("ForImageClassification"):
        return "AutoImageProcessor", "picture"
    if kind.endswith("ForQuestionAnswering"):
        return "AutoTokenizer", '"Who wrote it?", "Ada wrote it in 1843."'
    return "AutoTokenizer", '"a text"'


def _writes(kind: str) -> bool:
    return kind.endswith(("ForConditionalGeneration", "ForCausalLM"))
