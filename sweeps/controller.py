"""The loop of a sweep: ask, look in the store, submit, read the result, tell.

A run counts as finished when the store has its result, whoever made it. No barrier between trials:
a free slot asks at once.
"""

import contextlib
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prune.errors import Stopped, StoreError, SweepFailed
from prune.records import Record
from prune.store import Store
from prune.store.files import storing
from prune.store.lock import held, holder
from sweeps.executors import Ended, Executor, Job
from sweeps.outcome import Outcome, result
from sweeps.plan import Plan, Trial
from sweeps.progress import Busy, View
from sweeps.signals import Signals
from sweeps.study import Study

POLL_S = 0.1
UPDATE_S = 0.5
TAIL_BYTES, TAIL_CHARS = 4096, 300  # of a child's output
USAGE = 2  # exit code of a child whose configuration is wrong: trying again is useless

Ask = Callable[[], Trial | None]
Tell = Callable[[Trial, Record | None], None]


@dataclass(frozen=True)
class Running:
    trial: Trial
    slot: int
    began: float | None  # monotonic; None if another controller started it


class Controller:
    """One sweep, one process. `run` may be called again after any end: it goes on from there."""

    def __init__(
        self, plan: Plan, store: Store, executor: Executor, view: View, max_retries: int = 1
    ) -> None:
        self.plan, self.store, self.executor, self.view = plan, store, executor, view
        self.max_retries = max_retries
        self.signals = Signals()
        self.outcome = Outcome(len(plan.trials))
        self.running: dict[str, Running] = {}
        self.again: deque[Trial] = deque()
        self.attempts: Counter[str] = Counter()
        self.logs = store.root / plan.group / "logs"
        self._said = 0  # how many Ctrl-C were answered
        self._shown = 0.0  # monotonic

    def run(self) -> Outcome:
        """Raises SweepFailed, Stopped, or KeyboardInterrupt after Ctrl-C; no child is left."""
        with _alone(self.logs, self.plan.space.name), self.signals:
            try:
                self._take_stock()
                for trial in self.plan.first if len(self.outcome.done) < self.outcome.total else ():
                    self._all(_once(trial), lambda trial, record: None, alone=True)
                if not self.outcome.failed:
                    study = Study(self.store.url, self.plan, self.outcome.done)
                    self._all(study.ask, study.tell)
            finally:
                self.executor.cancel()
                self.view.close()
        self._verdict()
        return self.outcome

    def _take_stock(self) -> None:
        for trial in self.plan.trials:
            if record := self._record(trial, "done"):
                self.outcome.done[trial.run_id] = record
        if done := len(self.outcome.done):
            self.view.event(f"resuming {self.plan.space.name}: {done} of {self.outcome.total} done")

    def _all(self, ask: Ask, tell: Tell, alone: bool = False) -> None:
        """Everything that `ask` gives, until it is over or there is a signal."""
        while not self.signals.cancelling:
            self._heed()
            for ended in self.executor.poll():
                self._ended(ended, tell)
            while self.executor.capacity() and not self.signals.stopping:
                trial = self.again.popleft() if self.again else ask()
                if trial is None:
                    break
                self._start(trial, tell, alone)
            if not self.running and (self.signals.stopping or not self.again):
                return
            self._show()
            time.sleep(POLL_S)
        self.view.event(f"cancelling {len(self.running)} running")

    def _start(self, trial: Trial, tell: Tell, alone: bool) -> None:
        """What the store knows is told at once; what runs already is waited for."""
        if record := self._record(trial, "done"):
            self._done(trial, record, tell, known=True)
        elif not self._adopt(trial):
            self.attempts[trial.run_id] += 1
            job = Job(trial.run_id, trial.overrides, self._log(trial), alone)
            with storing(job.log):
                slot = self.executor.submit(job)
            self.running[trial.run_id] = Running(trial, slot, time.monotonic())
            self.view.event(f"start   {trial.name}   {trial.run_id}", minor=True)

    def _adopt(self, trial: Trial) -> bool:
        record = self._record(trial, "running")
        owner = holder(Path(record.path)) if record else None
        if not record or not owner:
            return False
        path = Path(record.path)
        pid = owner.pid if owner.host == socket.gethostname() else 0
        slot = self.executor.adopt(trial.run_id, pid, lambda: holder(path) == owner)
        self.running[trial.run_id] = Running(trial, slot, None)
        self.view.event(f"adopt   {trial.name}   {trial.run_id}   running as {owner}")
        return True

    def _ended(self, ended: Ended, tell: Tell) -> None:
        trial = self.running.pop(ended.run_id).trial
        if record := self._record(trial, "done"):
            self._done(trial, record, tell)
        elif self.signals.stopping:
            pass  # stays open: the same command takes it up
        elif ended.code == USAGE or self.attempts[trial.run_id] > self.max_retries:
            why = self._why(trial, ended)
            self.outcome.failed[trial.run_id] = trial, why
            tell(trial, None)
            self.view.event(f"failed  {trial.name}   {trial.run_id}   {why}")
        elif not self._adopt(trial):
            self.outcome.retried += 1
            self.again.append(trial)
            self.view.event(f"again   {trial.name}   {trial.run_id}   {self._why(trial, ended)}")

    def _done(self, trial: Trial, record: Record, tell: Tell, known: bool = False) -> None:
        tell(trial, record)
        if trial.number:
            self.outcome.done[trial.run_id] = record
        if not known:
            self.view.event(f"done    {trial.name}   {trial.run_id}   {result(record)}")

    def _record(self, trial: Trial, status: str) -> Record | None:
        """What the store has, if it has that status. A broken folder is the child's to report."""
        with contextlib.suppress(StoreError):
            record = self.store.find(trial.run_id)
            return record if record.status == status else None
        return None

    def _why(self, trial: Trial, ended: Ended) -> str:
        record = self._record(trial, "failed")
        if ended.code is not None and ended.code >= 0:
            said = record.error if record and record.error else _last_line(self._log(trial))
            return said or str(ended)
        return str(ended)

    def _heed(self) -> None:
        if self.signals.interrupts > self._said:
            self._said = self.signals.interrupts
            running = f"{len(self.running)} running will finish (Ctrl-C again to cancel them)"
            self.view.event(f"stopping: no new trials, {running}")

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._shown >= UPDATE_S:
            self._shown = now
            busy = sorted((self._busy(r, now) for r in self.running.values()), key=lambda b: b.slot)
            self.view.update(busy, self.outcome.line())

    def _busy(self, running: Running, now: float) -> Busy:
        seconds = now - running.began if running.began is not None else 0
        progress = self.store.progress(running.trial.run_id) or {}
        return Busy(running.slot, running.trial.name, seconds, progress)

    def _log(self, trial: Trial) -> Path:
        return self.logs / f"{trial.run_id}.log"

    def _verdict(self) -> None:
        """How it ended, as the exception of that exit code."""
        line = self.outcome.line()
        if len(self.outcome.done) < self.outcome.total and self.signals.stopping:
            if self.signals.ended:
                raise Stopped(f"{self.signals.ended.name}: {line}; the same command resumes")
            self.view.event(f"stopped: {line}; the same command resumes")
            raise KeyboardInterrupt
        if self.outcome.failed:
            raise SweepFailed(f"{line}\n{self.outcome.failures()}\n  logs: {self.logs}")


@contextlib.contextmanager
def _alone(folder: Path, sweep: str) -> Iterator[None]:
    """One controller a sweep, held by a lock that dies with it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(folder))
        except StoreError as error:
            if owner := holder(folder):
                raise StoreError(
                    f"sweep {sweep} is run by {owner}: wait for it, or stop it"
                ) from error
            raise
        yield


def _once(trial: Trial) -> Ask:
    left = [trial]
    return lambda: left.pop() if left else None


def _last_line(log: Path) -> str:
    """What a child said last; empty if it said nothing."""
    with contextlib.suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:TAIL_CHARS]
    return ""
