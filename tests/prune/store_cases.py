"""Runs to put into a store, and processes that use one."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from prune.config import RunConfig, as_dict, run_id
from prune.records import Density, Latency, Point, Record
from prune.store import RunFolder, Store

ROOT = Path(__file__).parents[2]
SIZE = 14_900_000  # bytes of the weights, all zero
SHA256 = hashlib.sha256(bytes(SIZE)).hexdigest()
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def config(seed: int = 0, group: str = "single") -> RunConfig:
    return RunConfig(seed=seed, group=group)


def point(**changes: Any) -> Point:
    cell = Latency(32, 128, "eager", 412.0, 253.0, 1.63, 1.60, 1.66, 7)
    whole = Point(
        stage="pruned",
        quality={"f1": 58.9, "exact_match": 50.1},
        density=Density(0.31, 0.37, 0.5),
        size_mb=SIZE / 1e6,
        dense_size_mb=31.2,
        latency=[cell, dataclasses.replace(cell, batch=1)],
        artifact="model",
        sha256=SHA256,
        heads=[5, 7],
        widths=[300, 389],
        logit_difference=3e-6,
    )
    return dataclasses.replace(whole, **changes)


def record(asked: RunConfig, **changes: Any) -> Record:
    whole = Record(
        run_id=run_id(asked),
        group=asked.group,
        status="done",
        experiment=asked.experiment,
        task=asked.task.name,
        metric="f1",
        config=as_dict(asked),
        overrides=["+experiment=toy", f"seed={asked.seed}"],
        points=[point()],
        reference={"f1": 61.2},
        lineage={"model": "1c0ffee0"},
        started=f"2026-01-01T00:00:{asked.seed % 60:02d}+00:00",
        seconds=12.5,
        steps=100,
    )
    return dataclasses.replace(whole, **changes)


def saved(folder: RunFolder, size: int = SIZE) -> None:
    """The weights that `point` is about."""
    folder.model_dir.mkdir(exist_ok=True)
    with (folder.model_dir / "model.safetensors").open("wb") as file:
        file.truncate(size)


def finished(store: Store, seed: int = 0, group: str = "single", **changes: Any) -> Record:
    """A run that went well."""
    asked = config(seed, group)
    with store.open_run(asked, ["+experiment=toy", f"seed={seed}"]) as folder:
        folder.log(10, loss=2.5)
        folder.log(20, loss=1.5, f1=58.9)
        saved(folder)
        return folder.finish(record(asked, **changes))


def interrupted(store: Store, seed: int = 0) -> Path:
    """A run that was left without a result."""
    with store.open_run(config(seed), [f"seed={seed}"]) as folder:
        folder.log(10, loss=2.5)
    return folder.path


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs `code`; its standard input and output are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


HOLD = """
import sys
from pathlib import Path
from prune.config import RunConfig
from prune.store import RunFolder, Store
with Store(Path(sys.argv[1])).open_run(RunConfig(), ["seed=0"]) as folder:
    folder.log(1, loss=3.0)
    folder.log(2, loss=2.0)
    (folder.path / "model.partial").mkdir()
    with open(folder.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')  # killed while it wrote
    print("holding", flush=True)
    sys.stdin.read()
"""


def holding(root: Path) -> subprocess.Popen[str]:
    """A process that is inside of run `config()` until its standard input is closed."""
    process = python(HOLD, root)
    assert process.stdout and process.stdout.readline() == "holding\n"
    return process


def end(process: subprocess.Popen[str]) -> str:
    """Close its input, wait, and give its standard error."""
    return process.communicate()[1]
