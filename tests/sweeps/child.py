"""What `prune train` is to a sweep, without the training: it holds its run and stores a result.

CHILD_CONFIGS: JSON, overrides -> config, so that a child need not wait for Hydra (a point that a
sampler asked for is not among them).
CHILD_TRACE: a file that gets a line at each start.
CHILD_GATE: a file; a child waits until it is there.
CHILD_WORK_S: seconds that each takes.
CHILD_PLAN: a folder of files RUN_ID; the first word, taken off it, says how this attempt ends:
fail, nan, oom, kill, hang, slow (it learns badly and waits) or usage.
CHILD_TRACE.ends gets a line at each end with a result.
"""

import dataclasses
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from prune.compose import load
from prune.config import RunConfig, as_dict, run_id
from prune.errors import ConfigError, PruneError, TrainingError
from prune.records import Density, Latency, Point, Record
from prune.store import Store

PATIENCE_S = 300.0
ERRORS = {
    "fail": "the loss is not finite",
    "nan": "the loss is nan at step 3: lower train.lr",
    "oom": "CUDA out of memory. Tried to allocate 20.00 MiB",
}


WEIGHTS = bytes(1000)


def main() -> int:
    config = config_of(sys.argv[1:])
    with open(os.environ["CHILD_TRACE"], "a") as trace:
        print(run_id(config), os.getpid(), os.environ["OMP_NUM_THREADS"], config.group, file=trace)
    try:
        ending = next_ending(run_id(config))
        if ending == "usage":
            raise ConfigError("attention.block=[48,48] does not divide it")
        with Store().open_run(config, sys.argv[1:]) as folder:
            folder.log(1, steps=2, loss=5.0 if ending == "slow" else 2.5, density=0.9)
            finish_as(ending)
            folder.log(2, steps=2, loss=1.5, density=0.5)
            folder.model_dir.mkdir()
            (folder.model_dir / "model.safetensors").write_bytes(WEIGHTS)
            folder.finish(record_of(config))
        with open(os.environ["CHILD_TRACE"] + ".ends", "a") as trace:
            print(run_id(config), file=trace)
    except PruneError as error:
        print(f"prune: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def config_of(overrides: list[str]) -> RunConfig:
    known = json.loads(Path(os.environ["CHILD_CONFIGS"]).read_text()).get(" ".join(overrides))
    if known is None:
        return load(overrides)
    kinds = {field.name: field.type for field in dataclasses.fields(RunConfig)}
    parts = {key: kinds[key](**v) if isinstance(v, dict) else v for key, v in known.items()}
    return RunConfig(**parts)


def next_ending(run: str) -> str:
    file = Path(os.environ["CHILD_PLAN"]) / run
    if not file.exists():
        return ""
    first, *rest = file.read_text().split()
    file.write_text(" ".join(rest)) if rest else file.unlink()
    return first


def finish_as(ending: str) -> None:
    if ending in ERRORS:
        raise TrainingError(ERRORS[ending])
    if ending in ("hang", "slow"):
        time.sleep(PATIENCE_S)
    if ending == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(os.environ.get("CHILD_WORK_S", "0")))
    deadline = time.monotonic() + PATIENCE_S
    while not Path(os.environ["CHILD_GATE"]).exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def record_of(config: RunConfig) -> Record:
    density = config.target.density or 1.0
    quality, speedup = 90 - 20 * (1 - density) ** 2, 2 - density
    latency = Latency(32, 128, "eager", 10.0, 10 / speedup, speedup, speedup, speedup, 7)
    point = Point(
        stage="dense" if config.target.density is None else "pruned",
        quality={"f1": quality},
        density=Density(density, density, density),
        size_mb=len(WEIGHTS) / 1e6,
        dense_size_mb=1.0,
        latency=[latency],
        artifact="model",
        sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    )
    return Record(
        run_id(config),
        config.group,
        "done",
        experiment=config.experiment,
        task=config.task.name,
        metric="f1",
        config=as_dict(config),
        points=[point],
        seconds=10.0,
    )


if __name__ == "__main__":
    sys.exit(main())
