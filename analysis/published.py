"""Result files of huggingface/nn_pruning -> Records, one a checkpoint. Reads one file and no other.

A file is `{"base_speed_report": {...}, "checkpoints": {path: record}}`, plain or gzipped. What a
record says is data: its paths are names, nothing in it is executed, opened or looked for. Its
speeds are seconds over a whole development set on one machine, so they are one harness (`RUNTIME`).
"""

import gzip
import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from analysis.published_config import config_of, overrides_of
from prune.errors import MissingInputError
from prune.records import PUBLISHED, Density, Latency, Point, Record
from prune.store.checks import evidence_problems

GROUP = "nn_pruning"
RUNTIME = "rtx3090-eager"
BATCH = 128
LARGEST = 256 * 2**20  # bytes, unpacked: a small file must not fill the memory
BASE_WEIGHTS = 84_934_656  # encoder linears of BERT-base: what every density is a share of
BASE_TOTAL = 108_893_186  # all parameters, with the head for questions
# length, batches of the development set at that length, quality of the dense BERT-base in the paper
TASKS: dict[str, tuple[int, int, dict[str, float]]] = {
    "squad": (384, 85, {"f1": 88.5, "exact_match": 80.8}),
    "mnli": (128, 77, {"accuracy": 84.6, "accuracy_mm": 83.4}),
}
Json = Mapping[str, Any]


def read_file(path: Path) -> Any:
    """The JSON in `path`, plain or gzipped. Raises MissingInputError: one line, why, what to do."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            content = (gzip.GzipFile(fileobj=file) if packed else file).read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"more than {LARGEST >> 20} MB of JSON")
        return json.loads(content, parse_constant=_not_finite)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        why = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise MissingInputError(f"cannot import {path}: {why}; nothing was imported") from error


def records(content: Any, source: str) -> Iterator[Record | str]:
    """A Record for each checkpoint, in the order of the file; a line for one that is not usable.

    source: the name of the file, for the lineage. Raises MissingInputError for another format.
    """
    checkpoints = content.get("checkpoints") if isinstance(content, dict) else None
    base = content.get("base_speed_report") if isinstance(content, dict) else None
    if not isinstance(checkpoints, dict) or not isinstance(base, dict) or not checkpoints:
        raise MissingInputError(
            f"cannot import {source}: not a result file of nn_pruning (it needs "
            "base_speed_report and checkpoints); nothing was imported"
        )
    by_tail = {_tail(name): entry for name, entry in checkpoints.items()}
    for name, entry in checkpoints.items():
        try:
            record = _record(str(name), entry, base, by_tail, source)
            if problems := evidence_problems(record, record.run_id):
                raise ValueError("; ".join(problems))
            yield record
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else str(error)
            yield f"skipped ...{str(name)[-48:]}: {' '.join(why.split())}"


def _record(name: str, entry: Json, base: Json, known: Mapping[str, Json], source: str) -> Record:
    task = _task(entry)
    # A filled network was fine-tuned once more with nothing to prune: how it was pruned is said
    # by the checkpoint that it came from.
    before = entry.get("source_checkpoint")
    origin = known.get(_tail(str(before))) if before else entry
    config = config_of(task, origin, entry if before else None, entry["config"])
    quality = _quality(task, entry)
    return Record(
        run_id=hashlib.sha256(f"{GROUP} {task} {name}".encode()).hexdigest()[:8],
        group=GROUP,
        status="done",
        experiment=f"published_{task}",
        task=task,
        metric=next(iter(quality)),
        config=config,
        overrides=overrides_of(task, config),
        points=[_point(task, entry, base, quality, "filled" if before else "pruned")],
        reference=dict(TASKS[task][2]),
        lineage={PUBLISHED: source, "model": name, "teacher": config["teacher"]["name_or_path"]},
        steps=int(found[1]) if (found := re.search(r"checkpoint-(\d{1,9})$", name)) else 0,
    )


def _task(entry: Json) -> str:
    """From the metrics that were measured: the file does not name its task."""
    metrics = entry["eval_metrics"]
    if any(str(key).startswith(("HasAns", "best_")) for key in metrics):
        raise ValueError("SQuAD v2.0, of which the dense reference is not known here")
    if "f1" in metrics and "exact_match" in metrics:
        return "squad"
    if "eval_accuracy" in metrics and "eval_metrics_mm" in entry:
        return "mnli"
    raise ValueError(f"neither SQuAD nor MNLI: it was measured by {', '.join(map(str, metrics))}")


def _quality(task: str, entry: Json) -> dict[str, float]:
    """Percent. `masked_f1` is that of the network before its heads and rows were removed."""
    metrics = entry["eval_metrics"]
    if task == "mnli":
        matched, mismatched = (
            entry[k]["eval_accuracy"] for k in ("eval_metrics", "eval_metrics_mm")
        )
        return {"accuracy": 100 * _finite(matched), "accuracy_mm": 100 * _finite(mismatched)}
    found = {"f1": _finite(metrics["f1"]), "exact_match": _finite(metrics["exact_match"])}
    if before := entry.get("unopt_eval_metrics"):
        found["masked_f1"] = _finite(before["f1"])
    return found


def _point(task: str, entry: Json, base: Json, quality: dict[str, float], stage: str) -> Point:
    stats, heads, widths = entry["stats"], heads_left(entry), widths_left(entry)
    of_base = _finite(stats["linear_total"]) == BASE_WEIGHTS
    total = _finite(stats["total"]) if of_base else BASE_TOTAL
    nonzero = _finite(stats["linear_nnz"]) / BASE_WEIGHTS
    return Point(
        stage=stage,
        quality=quality,
        density=Density(
            nonzero, stored(entry, heads, widths) / BASE_WEIGHTS, _finite(stats["nnz"]) / total
        ),
        size_mb=0.0,  # not published
        dense_size_mb=0.0,
        latency=[_latency(task, entry, base)],
        artifact="",
        sha256="",
        heads=heads,
        widths=widths,
    )


def _latency(task: str, entry: Json, base: Json) -> Latency:
    """Seconds over the development set, as milliseconds a batch; one round, so no interval."""
    length, batches, _ = TASKS[task]
    key = "cuda_eval_elapsed_time"
    dense, pruned = (1e3 * _finite(side[key]) / batches for side in (base, entry["speed"]))
    if dense <= 0 or pruned <= 0:
        raise ValueError(f"{key} is not positive")
    ratio = dense / pruned
    return Latency(BATCH, length, RUNTIME, dense, pruned, ratio, ratio, ratio, 1)


def heads_left(entry: Json) -> list[int]:
    """Heads in each layer, in the order of the layers."""
    all_heads = int(entry["config"]["num_attention_heads"])
    gone = entry["stats"]["pruned_heads"]
    return [all_heads - len(gone[layer]) for layer in _layers(entry)]


def widths_left(entry: Json) -> list[int]:
    """FFN neurons in each layer where whole ones were pruned; else nothing: it is not published."""
    row = 2 * int(entry["config"]["hidden_size"])
    live = [
        _finite(entry["stats"]["layers"][layer]["linear_dense_nnz"]) for layer in _layers(entry)
    ]
    whole = all(weights % row == 0 for weights in live)
    return [int(weights // row) for weights in live] if whole else []


def stored(entry: Json, heads: list[int], widths: list[int]) -> float:
    """Weights of the encoder's linears that are stored once heads (and known widths) are cut."""
    hidden, inner = (int(entry["config"][key]) for key in ("hidden_size", "intermediate_size"))
    a_head = 4 * hidden * hidden // int(entry["config"]["num_attention_heads"])
    return sum(heads) * a_head + sum(widths or [inner] * len(heads)) * 2 * hidden


def _layers(entry: Json) -> list[str]:
    return sorted(entry["stats"]["layers"], key=int)


def _tail(name: str) -> str:
    """Run and checkpoint: the same network lay in several places."""
    return "/".join(name.split("/")[-2:])


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)


def _not_finite(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
