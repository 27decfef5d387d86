"""The model card: what the model is, what was measured, how it was made, and how to load it."""

import json
import re
from pathlib import Path
from typing import Any

import torch

from prune.artifact.shape import KEY, Outline, section_of
from prune.records import Latency, Point, Record, readable

# What the name of a class ends with -> the auto class that loads it, and the task of a pipeline.
KINDS = {
    "ForQuestionAnswering": ("AutoModelForQuestionAnswering", "question-answering"),
    "ForSequenceClassification": ("AutoModelForSequenceClassification", "text-classification"),
    "ForTokenClassification": ("AutoModelForTokenClassification", "token-classification"),
    "ForMaskedLM": ("AutoModelForMaskedLM", "fill-mask"),
    "ForCausalLM": ("AutoModelForCausalLM", "text-generation"),
    "LMHeadModel": ("AutoModelForCausalLM", "text-generation"),
    "ForConditionalGeneration": ("AutoModelForSeq2SeqLM", "text2text-generation"),
    "ForImageClassification": ("AutoModelForImageClassification", "image-classification"),
    "": ("AutoModel", "feature-extraction"),
}
STAGES = {
    "dense": "fine-tuned, not pruned",
    "pruned": "fine-pruned with `prune`",
    "filled": "fine-pruned with `prune`, what was zero in its matrices filled and fine-tuned again",
}


def plain(folder: Path, outline: Outline) -> str:
    """README.md of the model in `folder`, of which nothing else is known."""
    kind = _content(folder, "prune.json")["class"]
    return f"""{_front(kind)}
# {kind}{", pruned" if _is_cut(folder) else ""}

{_left(outline.heads, outline.widths)}

{_loading(kind, folder)}"""


def card(record: Record, point: Point, folder: Path) -> str:
    """README.md of the model in `folder` that `point` was measured on, in the run of `record`."""
    kind = _content(folder, "prune.json")["class"]
    return f"""{_front(kind, record.lineage.get("model", ""))}
# {record.experiment}, run {record.run_id}

A model of the task `{record.task}` ({kind}), {STAGES[point.stage]}: {point.size_mb:.1f} MB (dense:
{point.dense_size_mb:.1f} MB), {point.density.stored:.0%} of the prunable weights stored,
{point.density.nonzero:.0%} not zero.

{_quality(record, point)}

{_speed(point.latency, folder.parent / "env.json", record.config)}

{_left(point.heads, point.widths)}

{_loading(kind, folder)}
## How it was made

{_made(record, point)}

```console
$ prune train {" ".join(record.overrides)}
```
"""


def _front(kind: str, base: str = "") -> str:
    """The metadata that the hub reads; only a name of the hub is a base model there."""
    _, task = _auto(kind)
    named = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base) and not re.fullmatch(r"[0-9a-f]{8}", base)
    lines = ["library_name: transformers", f"pipeline_tag: {task}", "tags: [pruning, prune]"]
    if named and base != "none" and not Path(base).exists():
        lines.append(f"base_model: {base}")
    return "\n".join(["---", *lines, "---"])


def _quality(record: Record, point: Point) -> str:
    rows = [
        f"| {name} | {value:.2f} | {_number(record.reference.get(name))} |"
        for name, value in point.quality.items()
    ]
    return "\n".join(["| metric | this model | dense |", "|---|---|---|", *rows])


def _speed(cells: list[Latency], env: Path, config: dict[str, Any]) -> str:
    rows = [
        f"| {c.batch} x {c.length} | {c.runtime} | {readable(c.dense_ms)} ms | "
        f"{readable(c.pruned_ms)} ms | "
        f"{c.speedup:.2f}x ({c.speedup_low:.2f} to {c.speedup_high:.2f}) |"
        for c in cells
    ]
    head = "| batch x length | runtime | dense | this model | speedup (95 % interval) |"
    return "\n".join([head, "|---|---|---|---|---|", *rows, "", _machine(env, config)])


def _machine(env: Path, config: dict[str, Any]) -> str:
    found = json.loads(env.read_text()) if env.is_file() else {}
    versions = found.get("versions", {})
    threads = config.get("measure", {}).get("threads")
    on_gpu = torch.cuda.is_available()  # where the run that writes this card measured
    known = [
        torch.cuda.get_device_name() if on_gpu else found.get("cpu"),
        f"{threads} threads" if threads and not on_gpu else "",
        *(f"{name} {versions[name]}" for name in ("torch", "transformers") if versions.get(name)),
    ]
    return f"Both were timed in turn in one process: {', '.join(filter(None, known))}."


def _left(heads: list[int], widths: list[int]) -> str:
    return (
        f"Heads left in each layer: {', '.join(map(str, heads))}.\n"
        f"FFN neurons left in each layer: {', '.join(map(str, widths))}."
    )


def _made(record: Record, point: Point) -> str:
    parts = {part: record.config.get(part, {}) for part in ("attention", "ffn")}
    methods = [
        f"{part}: {c.get('algorithm')}, {_geometry(c)}"
        for part, c in parts.items()
        if point.stage != "dense" and c.get("name", "dense") != "dense"
    ]
    swaps = [name for name, on in record.config.get("swap", {}).items() if on is True]
    teacher = record.lineage.get("teacher", "none")
    lines = [
        f"From {_short(record.lineage.get('model', 'none'), 'random weights')}, "
        f"{record.steps:,} steps, seed {record.config.get('seed', 0)}.",
        *methods,
        f"swapped in: {', '.join(swaps)}" if swaps else "",
        f"teacher: {_short(teacher, '')}" if teacher != "none" else "",
        f"largest difference of logits to the masked model: {point.logit_difference:.1e}"
        if point.stage == "pruned"
        else "",
        f"sha256 of the weights: {point.sha256}",
    ]
    return "\n".join(f"- {line}" for line in lines if line)


def _geometry(part: dict[str, Any]) -> str:
    if part.get("geometry") == "block":
        return "blocks {}x{}".format(*part.get("block", ("?", "?")))
    return f"{part.get('geometry')}, sharing {part.get('sharing')}"


def _short(name: str, nothing: str) -> str:
    """A run id or a name of the hub as it is, of a folder its own name."""
    return nothing if name == "none" else (Path(name).name if Path(name).is_absolute() else name)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _auto(kind: str) -> tuple[str, str]:
    return next(found for end, found in KINDS.items() if kind.endswith(end))


def _content(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_text())
    return content


def _is_cut(folder: Path) -> bool:
    """Whether a plain model of its class has to be cut before it takes the weights."""
    return section_of(_content(folder, "config.json").get(KEY)) is not None


def _loading(kind: str, folder: Path) -> str:
    """How to load it: text that is true and a snippet that runs in the folder of the card."""
    auto, task = _auto(kind)
    needs = (
        "With the package `prune` installed: `import prune` is what makes transformers cut its "
        "model to\nthese shapes. Without it, `from_pretrained` stops at sizes that do not match."
        if _is_cut(folder)
        else "Its matrices have the sizes they always had, so transformers alone loads it too."
    )
    return f"""## Load it

{needs}

```python
import prune
from transformers import {auto}

folder = "."  # where this card lies, or the name on the hub
model = {auto}.from_pretrained(folder)
```

`prune.load(folder)` does the same and checks every file against the hashes in `prune.json`.
{_pipeline(task, folder)}"""


def _pipeline(task: str, folder: Path) -> str:
    """How to use it, where what reads its inputs lies in the folder too."""
    images = task == "image-classification"
    there = any(folder.glob("*processor*" if images else "*token*"))
    if not there or task == "text2text-generation":  # no pipeline of transformers 5 does that
        return ""
    if task == "question-answering":  # nor this
        return """
An answer, with the tokenizer that lies here too:

```python
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer("Who wrote it?", "Ada wrote it in 1843.", return_tensors="pt")
outputs = model(**inputs)
start, end = outputs.start_logits.argmax(), outputs.end_logits.argmax()
print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))
```
"""
    return f'''
In a pipeline, with the {"image processor" if images else "tokenizer"} that lies here too:

```python
from transformers import pipeline

pipe = pipeline("{task}", model=folder)
```
'''
