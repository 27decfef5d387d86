"""A run or folder as files for other runtimes, with the evidence of each: quality, size, latency.

What is measured is the very file. Beside the files lie config.json, the tokenizer, a card, and
export.json with all that was measured.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prune.artifact import checkpoint
from prune.artifact.export import Exported, export
from prune.errors import ExportError, MissingInputError
from prune.export_card import DENSE, FORMAT, SAVED, Export, Row, card
from prune.opening import Opened, dense_of
from prune.records import Latency
from prune.speed import measure
from prune.speed.inputs import writes
from prune.speed.lease import Lease
from prune.speed.memory import check_fits, fitting
from prune.speed.protocol import interleaved
from prune.speed.runtimes import Batch, Eager, Runtime
from prune.speed.workload import Workload
from prune.tasks.base import Task

EVIDENCE = "export.json"
CALIBRATION = (8, 16)  # batches, and examples of the training data in each


@dataclass(frozen=True)
class Wanted:
    """Which files: int8 has "dynamic", "static" or both."""

    int8: tuple[str, ...] = ()
    openvino: bool = False
    fuse: bool = True
    quality: bool = True


def export_model(
    found: Opened, out: Path, wanted: Wanted, lease: Lease, say: Callable[[str], None]
) -> Export:
    """Write `out` (an earlier export there is replaced) and measure what was written."""
    if out.exists() and not (out / EVIDENCE).is_file() and any(out.iterdir()):
        raise ExportError(f"{out} is there and holds no export: name another folder with --out")
    task = found.task() if wanted.quality or "static" in wanted.int8 else None
    with _aside(out) as aside, measure.threads(found.config.measure.threads):
        files = _write(found, aside, wanted, task)
        say("\n".join(f"verified    {_verdict(file)}" for file in files))
        result = _evidence(found, files, task if wanted.quality else None, lease, str(out))
        content = {"format": FORMAT, **asdict(result)}
        (aside / EVIDENCE).write_text(json.dumps(content, indent=1) + "\n")
        (aside / "README.md").write_text(card(result, type(found.model).__name__))
    return result


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A folder that takes the place of `out` when all went well, and else is gone."""
    aside = out.with_name(out.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        if out.exists():
            shutil.rmtree(out)
        os.replace(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class Served(nn.Module):
    """A runtime where a task expects a model."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self.runtime = runtime
        self.place = nn.Parameter(torch.empty(0, device=runtime.device), requires_grad=False)

    def forward(self, **batch: Tensor) -> Any:
        return self.runtime(batch)


def _write(found: Opened, folder: Path, wanted: Wanted, task: Task | None) -> list[Exported]:
    processor = found.processor()
    calibration: Iterator[Batch] = iter(())
    if "static" in wanted.int8:
        if task is None:
            raise MissingInputError(
                f"{found.name} belongs to no run, whose training data --static needs"
            )
        calibration = _calibration(task)
    files = export(
        found.model,
        folder,
        getattr(processor, "model_input_names", ()),
        wanted.int8,
        calibration,
        wanted.openvino,
        wanted.fuse,
    )
    found.model.config.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return files


def _calibration(task: Task) -> Iterator[Batch]:
    count, size = CALIBRATION
    for start in range(0, min(count * size, len(task.train)), size):
        rows = range(start, min(start + size, len(task.train)))
        yield task.collate([task.train[i] for i in rows])


def _evidence(
    found: Opened, files: list[Exported], task: Task | None, lease: Lease, out: str
) -> Export:
    dense, notes = dense_of(found.model), []
    rows = [_dense_row(found, dense), _saved_row(found, task)]
    rows += [_file_row(file) for file in files]
    if writes(found.model):
        notes.append("it writes text, which a graph without a cache does not: logits were verified")
    else:
        if task is not None:
            size = found.config.train.eval_batch_size
            pairs = zip(files, rows[2:], strict=True)
            measured = [(r, task.evaluate(Served(f.open()), size)) for f, r in pairs]
            rows[2:] = [dataclasses.replace(r, quality=q) for r, q in measured]
        runtimes: dict[str, Runtime] = {DENSE: Eager(dense), SAVED: Eager(found.model)}
        runtimes |= {file.name: file.open() for file in files}
        with lease.exclusive():
            rows = _timed(found, rows, runtimes)
    if not rows[1].quality:
        notes.append("quality was not measured" + ("" if found.record else ": it is of no run"))
    record = found.record
    names = (record.task, record.metric) if record else ("", "")
    return Export(found.name, *names, rows, notes, out)


def _dense_row(found: Opened, dense: PreTrainedModel) -> Row:
    quality = found.record.reference if found.record else {}
    return Row(DENSE, "", "eager", measure.size_mb(dense), quality=quality)


def _saved_row(found: Opened, task: Task | None) -> Row:
    """What the run measured of these weights, else measured now."""
    file = found.folder / checkpoint.WEIGHTS_FILE
    digest = checkpoint.file_hash(file) if file.is_file() else ""
    size = file.stat().st_size / 1e6 if file.is_file() else measure.size_mb(found.model)
    quality: dict[str, float] = {}
    if found.point is not None and found.point.sha256 == digest:
        quality = found.point.quality
    elif task is not None:
        quality = task.evaluate(found.model, found.config.train.eval_batch_size)
    return Row(SAVED, file.name, "eager", size, digest, quality)


def _file_row(file: Exported) -> Row:
    digest = checkpoint.file_hash(file.path)
    runtime = "onnx runtime" if file.runtime == "onnx" else file.runtime
    return Row(
        *(file.name, file.path.name, runtime, file.size_mb, digest),
        difference=file.difference,
        note=file.note,
    )


def _timed(found: Opened, rows: list[Row], runtimes: dict[str, Runtime]) -> list[Row]:
    """Every cell of the run's grid, all files in turn."""
    asked = found.config.measure
    cells: dict[str, list[Latency]] = {name: [] for name in runtimes}
    for batch, length in asked.grid:
        work = Workload(batch, length)
        check_fits(found.model, [work])
        passes = {n: work.timed(r, found.model, found.config.seed) for n, r in runtimes.items()}
        with fitting(f"batch {batch} x {length}"):
            times = interleaved(passes, asked.rounds, found.config.seed)
        for name, runtime in runtimes.items():
            cells[name].append(measure.cell(times, (DENSE, name), work, runtime))
    return [
        dataclasses.replace(
            row, latency=[dataclasses.replace(c, sha256=row.sha256) for c in cells[row.name]]
        )
        for row in rows
    ]


def _verdict(file: Exported) -> str:
    off = f"logits within {file.difference:.0e}" if "int8" not in file.name else "quality decides"
    return f"{file.name} ({', '.join(filter(None, (file.note, off)))})"
