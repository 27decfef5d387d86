"""What a run folder says: its status, its Record, its metrics. Reads only, trusts nothing."""

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from prune.errors import StoreError
from prune.records import FORMAT, Record, from_json
from prune.store.checks import evidence_problems, misfits
from prune.store.files import strict_json
from prune.store.lock import holder

RESULT, CONFIG, OVERRIDES = "result.json", "config.yaml", "overrides.yaml"
ENVIRONMENT, METRICS = "env.json", "metrics.jsonl"
_RUN_ID = re.compile(r"[0-9a-f]{8}")
TAIL_BYTES = 65536  # longer than any line of metrics.jsonl


def folders(root: Path, group: str | None = None) -> Iterator[Path]:
    """Every run folder below `root`: `GROUP/` and eight hex digits."""
    names = [group] if group is not None else sorted(folder_names(root))
    for name in names:
        for run_id in sorted(folder_names(root / name)):
            if is_run_id(run_id):
                yield root / name / run_id


def folder_names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if not e.name.startswith(".") and e.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_run_id(name: str) -> bool:
    return _RUN_ID.fullmatch(name) is not None


def key(path: Path) -> str:
    """`GROUP/ID`: what the index calls this folder."""
    return f"{path.parent.name}/{path.name}"


def stamp(path: Path) -> str:
    """Changes whenever the Record in this folder does. Reads no file."""
    for _ in range(2):
        if found := _file_stamp(path / RESULT):
            return found
        status = "running" if holder(path) else "interrupted"
        if status == "running":
            break  # otherwise: it may have finished between the two looks
    return f"{status} {_file_stamp(path / CONFIG)}"


def stamps(root: Path, group: str | None = None) -> Iterator[tuple[str, str]]:
    """`GROUP/ID` and `stamp` of every run folder below `root`.

    By names: making a Path of each costs more than looking at a hundred thousand folders.
    """
    for name in [group] if group is not None else sorted(folder_names(root)):
        for run_id in sorted(filter(is_run_id, folder_names(root / name))):
            found = _file_stamp(f"{root}/{name}/{run_id}/{RESULT}")
            yield f"{name}/{run_id}", found or stamp(root / name / run_id)


def _file_stamp(path: Path | str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}"


def read(path: Path) -> Record:
    """The Record of the run in `path`. Raises StoreError, naming the file, if it is broken."""
    if (path / RESULT).exists():
        return _result(path)
    status = "running" if holder(path) else "interrupted"
    if (path / RESULT).exists():
        return _result(path)
    return _unfinished(path, status)


def read_or_broken(path: Path) -> Record:
    """Like `read`; a broken folder gives a Record of status "broken" that says why."""
    try:
        return read(path)
    except StoreError as error:
        text = " ".join(str(error).split())
        return Record(path.name, path.parent.name, "broken", error=text, path=str(path))


def _result(path: Path) -> Record:
    file = path / RESULT
    try:
        content = strict_json(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(file, str(error)) from error
    if isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise StoreError(
            f"{file} was written by a newer prune (result format {content['format']}, "
            f"this one reads {FORMAT}): upgrade prune"
        )
    try:
        record = from_json(content, str(path))
    except StoreError as error:
        raise _broken(file, str(error).removeprefix(f"{path}: ")) from error
    if problems := evidence_problems(record, path.name):
        raise _broken(file, "; ".join(problems))
    return dataclasses.replace(record, group=path.parent.name)  # it may have been moved


def _broken(file: Path, why: str) -> StoreError:
    run_id = file.parent.name
    return StoreError(
        f"{file} is broken ({why}): delete that file and run again, or `prune runs rm {run_id}`"
    )


def _unfinished(path: Path, status: str) -> Record:
    config = _yaml(path / CONFIG, dict)
    overrides = _yaml(path / OVERRIDES, list)
    task = config.get("task")
    return Record(
        path.name,
        path.parent.name,
        status,
        experiment=str(config.get("experiment", "")),
        task=str(task.get("name", "")) if isinstance(task, dict) else "",
        config=config,
        overrides=[str(o) for o in overrides],
        started=_started(path),
        path=str(path),
    )


def _yaml(file: Path, kind: type) -> Any:
    """The content of a YAML file; empty if it is missing (killed before it was written)."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return kind()
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _broken(file, " ".join(str(error).split())) from error
    if not isinstance(content, kind):
        raise _broken(file, f"not a {kind.__name__}")
    return content


def _started(path: Path) -> str:
    try:
        content = strict_json((path / ENVIRONMENT).read_text(encoding="utf-8"))
        return str(content.get("started", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def metric_lines(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Line number and values of each complete line of metrics.jsonl; other lines are left out."""
    try:
        with open(path / METRICS, "rb") as file:
            for number, line in enumerate(file):
                if values := _metrics(line):
                    yield number, values
    except FileNotFoundError:
        return


def lines_until(file: Path, step: int) -> dict[float, str]:
    """Step -> line, of the complete lines of an older metrics file up to `step`."""
    found = ((_metrics(line), line) for line in file.read_bytes().splitlines(keepends=True))
    return {v["step"]: line.decode() for v, line in found if "step" in v and v["step"] <= step}


def last_metrics(path: Path) -> dict[str, float] | None:
    """The last complete line of metrics.jsonl; None if there is none yet."""
    try:
        with open(path / METRICS, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return None
    return next(filter(None, map(_metrics, reversed(lines))), None)


def _metrics(line: bytes) -> dict[str, float]:
    try:
        values = strict_json(line.decode()) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict) or any(misfits(values, dict[str, float])):
        return {}
    return values
