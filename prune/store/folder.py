"""The folder of a run in work: what `prune train` writes, in the order a crash can bear."""

import contextlib
import dataclasses
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from prune.config import RunConfig, as_dict
from prune.errors import PruneError, StoreError
from prune.records import Record, to_json
from prune.store import reading
from prune.store.checks import artifact_problems, evidence_problems
from prune.store.environment import environment
from prune.store.files import storing, write_atomic

if TYPE_CHECKING:
    from prune.store.masks import Masks

CHECKPOINTS = "checkpoints"


class RunFolder:
    """A run that this process holds. Made by `Store.open_run`.

    `path` is the folder, `run_id` its name, `model_dir` where the saved model goes, `checkpoints`
    where what an interrupted run needs is kept until it is done.
    """

    def __init__(
        self, path: Path, config: RunConfig, overrides: Sequence[str], index: Callable[[], None]
    ) -> None:
        self.path, self.run_id, self.model_dir = path, path.name, path / "model"
        self.checkpoints = path / CHECKPOINTS
        self.config, self.overrides = config, list(overrides)
        self.recorded = False
        self._index = index
        self._began = time.monotonic()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._steps = 0
        self._inherited = 0  # of these steps
        self.costs: dict[str, float] = {}  # seconds, by what they were spent on
        self._counted = 0.0  # seconds that are in `costs`

    def prepare(self) -> None:
        """Clear up after an earlier attempt and write what is asked. A finished run is refused."""
        self._put_aside_result()
        self._put_aside_metrics()
        with storing(self.path):
            for leftover in (self.model_dir, self.path / "model.partial"):
                if leftover.exists():
                    shutil.rmtree(leftover)
        found = {"started": self._started, **environment()}
        write_atomic(self.path / reading.ENVIRONMENT, json.dumps(found, indent=2) + "\n")
        write_atomic(self.path / reading.OVERRIDES, _yaml(self.overrides))
        write_atomic(self.path / reading.CONFIG, _yaml(as_dict(self.config)))
        self._index()

    def elapsed(self) -> float:
        """Seconds that the run has taken, those of the attempts it goes on from among them."""
        return round(time.monotonic() - self._began, 3)

    def spent_on(self, what: str) -> None:
        """The time since the last such call, or the start, went into `what`."""
        now = self.elapsed()
        self.costs[what] = round(self.costs.get(what, 0.0) + now - self._counted, 3)
        self._counted = now

    @contextlib.contextmanager
    def not_counted(self) -> Iterator[None]:
        """What is done inside is counted by other runs."""
        began = time.monotonic()
        yield
        self._began += time.monotonic() - began

    def resume(self, step: int, seconds: float) -> None:
        """Go on from `step`, which took `seconds`: the metrics up to it are those of this run."""
        self._began = time.monotonic() - seconds
        self.reached(step)
        earlier = sorted(self.path.glob("metrics.*.jsonl"), key=lambda p: int(p.name.split(".")[1]))
        lines: dict[float, str] = {}  # by step: an attempt may have died before it had them again
        for file in earlier:
            lines |= reading.lines_until(file, step)
        write_atomic(self.path / reading.METRICS, "".join(lines[at] for at in sorted(lines)))

    def reached(self, step: int) -> None:
        """So many steps are done, whether or not there is a line of them."""
        self._steps = max(self._steps, step)

    def inherit(self, steps: int) -> None:
        """The first `steps` were done, and are counted, by the run this one was forked from."""
        self._inherited = steps
        self.reached(steps)

    def drop_checkpoints(self) -> None:
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def keep_masks(self, masks: "Masks") -> None:
        """What lived of each matrix, for pictures; a report never loads a model."""
        from prune.store import masks as pictures

        if masks:
            pictures.write(self.path, masks)

    def log(self, step: int, **values: float) -> None:
        """Append a line to metrics.jsonl: step, seconds since the start, `values`."""
        self.reached(step)
        elapsed = self.elapsed()
        # JSON has no NaN: a loss that is not finite is the trainer's to report.
        finite = {name: float(v) for name, v in values.items() if math.isfinite(v)}
        line = json.dumps({"step": step, "elapsed_s": elapsed, **finite})
        with storing(self.path), open(self.path / reading.METRICS, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def finish(self, record: Record) -> Record:
        """Record the outcome: result.json last and atomic, then the index.

        Raises StoreError, and records nothing, if a number is missing or not finite, or if a point
        is not about the weights that lie in this folder.
        """
        problems = evidence_problems(record, self.run_id) or artifact_problems(record, self.path)
        if record.status == "failed":
            problems.append("it failed: that is for `fail` to record")
        if problems:
            raise StoreError("\n".join([f"run {self.run_id} has no evidence to record", *problems]))
        return self._record(record)

    def outcome(self, status: str, **found: Any) -> Record:
        """A record of this run: what was asked, when, how long so far; `found` is the rest."""
        return Record(
            self.run_id,
            self.path.parent.name,
            status,
            experiment=self.config.experiment,
            task=self.config.task.name,
            config=as_dict(self.config),
            overrides=self.overrides,
            started=self._started,
            seconds=self.elapsed(),
            costs=self.costs,
            steps=self._steps - self._inherited,
            **found,
        )

    def fail(self, error: BaseException) -> Record:
        """Record that the run failed, and why, in one line."""
        record = self.outcome("failed", error=one_line(error))
        return self._record(record)

    def _record(self, record: Record) -> Record:
        group = self.path.parent.name
        record = dataclasses.replace(record, group=group, path=str(self.path))
        write_atomic(self.path / reading.RESULT, result_text(record))
        self.recorded = True
        self._index()
        return record

    def _put_aside_result(self) -> None:
        result = self.path / reading.RESULT
        if not result.exists():
            return
        if reading.read(self.path).status == "done":
            raise StoreError(f"run {self.run_id} is done already: {self.path}")
        with storing(result):
            result.replace(self.path / "result.failed.json")

    def _put_aside_metrics(self) -> None:
        metrics, number = self.path / reading.METRICS, 1
        with storing(metrics):
            while (aside := self.path / f"metrics.{number}.jsonl").exists():
                number += 1
            if metrics.exists():
                metrics.rename(aside)


def result_text(record: Record) -> str:
    """What stands in result.json."""
    return json.dumps(to_json(record), indent=1, allow_nan=False) + "\n"


def one_line(error: BaseException) -> str:
    """What went wrong, on one line; errors that are not ours say their type."""
    text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if isinstance(error, PruneError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False)
