"""What a sweep is doing, seen from another shell: it reads the run folders and touches nothing."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prune.records import Record
from prune.store import Store
from prune.store.lock import Holder, holder
from sweeps.outcome import Outcome
from sweeps.plan import Plan, Trial
from sweeps.progress import Busy
from sweeps.stopping import was_stopped

SHOWN = ("failed", "interrupted", "broken")  # statuses that somebody should look at


@dataclass(frozen=True)
class Status:
    sweep: str
    controller: Holder | None
    outcome: Outcome
    running: list[Busy]
    others: dict[str, list[Record]] = field(default_factory=dict)  # status -> runs

    def lines(self) -> list[str]:
        """As one reads it: who runs it, a line a running trial, what went wrong, the front."""
        who = f"run by {self.controller}" if self.controller else "nobody runs it now"
        width = max((len(busy.name) for busy in self.running), default=0)
        found = [f"{self.sweep} · {who}", *(f"  {busy.line(width)}" for busy in self.running)]
        for status, records in self.others.items():
            found += [f"  {status:<11} {r.run_id}  {_one_line(r.error)}" for r in records]
        return [*found, f"  {self.outcome.line()}"]

    def as_dict(self) -> dict[str, Any]:
        return {
            "sweep": self.sweep,
            "controller": str(self.controller) if self.controller else None,
            "running": [{"name": b.name, **b.progress} for b in self.running],
            **{status: [r.run_id for r in records] for status, records in self.others.items()},
            **self.outcome.as_dict(),
        }


def status(planned: Plan, store: Store) -> Status:
    """Of the runs of a grid, or of all that a search has put into its folder."""
    trials = {trial.run_id: trial for trial in [*planned.first, *planned.trials]}
    groups = {planned.group, *(trial.config.group for trial in planned.first)}
    known = [record for group in sorted(groups) for record in store.records(group=group)]
    if not planned.space.search.samples:
        known = [record for record in known if record.run_id in trials]
    ours = [record for record in known if record.group == planned.group]
    done = {record.run_id: record for record in ours if record.status == "done"}
    running = [record for record in known if record.status == "running"]
    unfinished = [record for record in ours if record.status == "interrupted"]
    stopped = {r.run_id for r in unfinished if was_stopped(Path(r.path))}
    ours = [record for record in ours if record.run_id not in stopped]
    return Status(
        planned.space.name,
        holder(store.root / planned.group / "logs"),
        Outcome(planned.total, done, stopped=stopped),
        [_busy(n, record, trials, store) for n, record in enumerate(running)],
        {name: found for name in SHOWN if (found := _of(ours, name))},
    )


def _of(records: Sequence[Record], name: str) -> list[Record]:
    return [record for record in records if record.status == name]


def _busy(number: int, record: Record, trials: dict[str, Trial], store: Store) -> Busy:
    trial = trials.get(record.run_id)
    progress = store.progress(record.run_id) or {}
    name = trial.name if trial else record.run_id
    # What it has taken by its own clock: an attempt may go on from an earlier one's checkpoint.
    return Busy(number, name, progress.get("elapsed_s", _since(record.started)), progress)


def _since(started: str) -> float:
    try:
        return max(0.0, time.time() - datetime.fromisoformat(started).astimezone(UTC).timestamp())
    except ValueError:
        return 0.0


def _one_line(text: str) -> str:
    return " ".join(text.split())[:120]
