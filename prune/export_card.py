"""What was measured of exported files: as data, as lines for a terminal, and as their README."""

from dataclasses import dataclass, field

from prune.records import Latency, readable

FORMAT = 1  # of export.json
DENSE, SAVED = "dense", "saved"


@dataclass(frozen=True)
class Row:
    """One file with its evidence. `difference`: of its logits, largest, to the saved model's."""

    name: str  # "dense", "saved", "onnx", "int8", "openvino", "openvino_int8"
    file: str
    runtime: str
    size_mb: float
    sha256: str = ""
    quality: dict[str, float] = field(default_factory=dict)
    difference: float = 0.0
    note: str = ""
    latency: list[Latency] = field(default_factory=list)  # against the dense network, eager


@dataclass(frozen=True)
class Export:
    """All rows, and whose they are."""

    source: str  # run id or folder
    task: str
    metric: str
    rows: list[Row]
    notes: list[str]
    folder: str


def table(result: Export) -> list[list[str]]:
    """A head and one line a file: quality, size, and for each cell the time and its ratio."""
    cells = result.rows[0].latency
    metric = result.metric or "quality"
    head = ["", metric, "MB"]
    for cell in cells:
        head += [f"{cell.batch} x {cell.length}", "speedup"]
    return [head, *(_line(row, metric) for row in result.rows)]


def _line(row: Row, metric: str) -> list[str]:
    name = f"{row.name}, eager" if row.runtime == "eager" else row.name
    quality = f"{row.quality[metric]:.2f}" if metric in row.quality else ""
    line = [name, quality, f"{row.size_mb:.1f}"]
    for cell in row.latency:
        ratio = "" if row.name == DENSE else f"{cell.speedup:.2f}x ({cell.speedup_low:.2f}-"
        line += [f"{readable(cell.pruned_ms)} ms", ratio and f"{ratio}{cell.speedup_high:.2f})"]
    return line


def card(result: Export, kind: str) -> str:
    """README.md of the folder: what was measured, on what, and how the files are run."""
    rows = table(result)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    cell = next((c for row in result.rows for c in row.latency), None)
    machine = ""
    if cell:
        threads = f"{cell.threads} thread" + "s" * (cell.threads > 1)
        machine = f"Speedups are over dense, eager: {cell.device}, {threads}, in turn."
    files = {row.file: row for row in result.rows if row.name not in (DENSE, SAVED)}
    listed = [f"- `{name}`: {_what(row)}" for name, row in files.items()]
    notes = [f"\n{note[0].upper()}{note[1:]}." for note in result.notes]
    return "\n".join(
        [
            f"# {result.source}, exported",
            "",
            f"A {kind}{f' for {result.task}' if result.task else ''}, as files for other runtimes.",
            "",
            *lines,
            "",
            machine,
            *notes,
            "",
            *listed,
            "",
            _how(kind),
        ]
    )


def _what(row: Row) -> str:
    size = f"{row.size_mb:.1f} MB, sha256 {row.sha256[:16]}..."
    if "int8" in row.name:
        return f"8-bit, {'static' if 'static' in row.file else 'dynamic'}, {size}"
    note = f", {row.note}" if row.note else ""
    return f"{row.runtime}{note}, logits within {row.difference:.0e} of the model's, {size}"


def _how(kind: str) -> str:
    """A snippet that runs in the folder."""
    loader, call = "AutoTokenizer", '"a text"'
    if kind.endswith("ForQuestionAnswering"):
        call = '"a question", "a text"'
    if kind.endswith("ForImageClassification"):
        loader, call = "AutoImageProcessor", "picture"
    return f"""\
The first axis of every input is free, and the length. In this folder:

```python
import onnxruntime
from transformers import {loader}

session = onnxruntime.InferenceSession("model.onnx")
names = [value.name for value in session.get_inputs()]
batch = {loader}.from_pretrained(".")({call}, return_tensors="np")
outputs = session.run(None, {{name: batch[name] for name in names}})
```
"""
