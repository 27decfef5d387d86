"""The loop of a sweep: ask, look in the store, submit, read the result, tell.

A run counts as finished when the store has its result, whoever made it. No barrier between trials:
a free slot asks at once.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prune.errors import Stopped, StoreError, SweepFailed
from prune.records import Record
from prune.store import Store
from prune.store.files import storing
from prune.store.lock import forget, holder
from sweeps.alone import alone
from sweeps.attempts import Attempts
from sweeps.executors import Ended, Executor, Job, Where
from sweeps.outcome import Outcome, result
from sweeps.plan import Plan, Trial
from sweeps.progress import Busy, View
from sweeps.signals import Signals
from sweeps.stopping import Stopper
from sweeps.study import Study, open_study

POLL_S = 0.02
UPDATE_S = 0.5
ANY = Job("", (), Path(), memory_mb=0.0)  # fits wherever anything does

Ask = Callable[[], Trial | None]
Tell = Callable[[Trial, Record | None, bool], None]  # the last: stopped early


@dataclass
class Running:
    trial: Trial
    slot: int
    began: float | None  # monotonic; None if another controller started it


class Controller:
    """One sweep, one process. `run` may be called again after any end: it goes on from there."""

    def __init__(
        self, plan: Plan, store: Store, executor: Executor, view: View, attempts: Attempts
    ) -> None:
        self.plan, self.store, self.executor, self.view = plan, store, executor, view
        self.attempts = attempts
        self.stopper = Stopper(plan, store)
        self.signals = Signals()
        self.outcome = Outcome(plan.total)
        self.running: dict[str, Running] = {}
        self.again: deque[Trial] = deque()  # asked, and to be started when there is room
        self.logs = store.root / plan.group / "logs"
        self._said = 0  # how many Ctrl-C were answered
        self._shown = 0.0  # monotonic

    def run(self) -> Outcome:
        """Raises SweepFailed, Stopped, or KeyboardInterrupt after Ctrl-C; no child is left."""
        with contextlib.ExitStack() as after, alone(self.logs, self.plan.space.name), self.signals:
            try:
                # First of all: a new database must have its tables before children open it.
                study = open_study(self.store.url, self.plan, self._finished, self.stopper.stopped)
                after.callback(study.close)
                self._take_stock(study)
                for trial in self.plan.first if self.outcome.over < self.outcome.total else ():
                    self._all(_once(trial), lambda *_: None, alone=True)
                if not self.outcome.failed:
                    self._all(partial(self._ask, study), study.tell)
            finally:
                self.executor.cancel()
                self.view.close()
        self._verdict()
        return self.outcome

    def _take_stock(self, study: Study) -> None:
        self.outcome.done |= study.done
        self.outcome.stopped |= study.stopped
        for record in study.done.values():
            self.stopper.finished(record)
        self.outcome.total = study.total
        if done := len(self.outcome.done):
            self.view.event(f"resuming {self.plan.space.name}: {done} of {self.outcome.total} done")

    def _ask(self, study: Study) -> Trial | None:
        trial = study.ask()
        self.outcome.total = study.total
        for problem in study.problems[len(self.outcome.refused) :]:
            self.view.event(f"refused {problem}")
            self.outcome.refused.append(problem)
        return trial

    def _all(self, ask: Ask, tell: Tell, alone: bool = False) -> None:
        """Everything that `ask` gives, until it is over or there is a signal."""
        while not self.signals.cancelling:
            self._heed()
            for ended in self.executor.poll():
                self._ended(ended, tell)
            while self.executor.fits(ANY) and not self.signals.stopping:
                trial = self.again.popleft() if self.again else ask()
                if trial is None:
                    break
                if not self._start(trial, tell, alone):
                    self.again.appendleft(trial)
                    break
            self._watch()
            if not self.running and (self.signals.stopping or not self.again):
                return
            self._show()
            time.sleep(POLL_S)
        self.view.event(f"cancelling {len(self.running)} running")

    def _start(self, trial: Trial, tell: Tell, alone: bool) -> bool:
        """What the store knows is told at once; what runs already is waited for.

        False if there is no room for it now.
        """
        if record := self._finished(trial.run_id):
            self._done(trial, record, tell, known=True)
        elif self._adopt(trial):
            pass
        elif self.stopper.stopped(trial.run_id):
            self._stopped(trial, tell)
        else:
            job = self.attempts.job(trial, self._log(trial), alone)
            if not self.executor.fits(job):
                return False
            self.attempts.counts[trial.run_id] += 1
            with storing(job.log):
                slot = self.executor.submit(job)
            self.running[trial.run_id] = Running(trial, slot, time.monotonic())
            self.view.event(f"start   {trial.name}   {trial.run_id}", minor=True)
        return True

    def _adopt(self, trial: Trial) -> bool:
        record = self._record(trial.run_id, "running")
        owner = holder(Path(record.path)) if record else None
        if not record or not owner:
            return False
        path, where = Path(record.path), Where(owner.host, owner.pid)
        alive, log = lambda: holder(path) == owner, self._log(trial)
        slot = self.executor.adopt(trial.run_id, where, alive, log)
        self.running[trial.run_id] = Running(trial, slot, None)
        self.view.event(f"adopt   {trial.name}   {trial.run_id}   running as {owner}")
        return True

    def _ended(self, ended: Ended, tell: Tell) -> None:
        trial = self.running.pop(ended.run_id).trial
        if there := ended.where:
            forget(self.store.root / trial.config.group / trial.run_id, there.host, there.pid)
        if record := self._finished(trial.run_id):
            self._done(trial, record, tell)
        elif self.stopper.stopped(trial.run_id):
            self._stopped(trial, tell)
        elif self.signals.stopping or self._adopt(trial):
            pass  # stays open: the same command takes it up; or another process has it
        elif self.attempts.again(ended, why := self._why(trial, ended)):
            self.outcome.retried += 1
            self.again.append(trial)
            self.view.event(f"again   {trial.name}   {trial.run_id}   {why}")
        else:
            self.outcome.failed[trial.run_id] = trial, why
            self.stopper.failed(trial.run_id)
            tell(trial, None, False)
            self.view.event(f"failed  {trial.name}   {trial.run_id}   {why}")

    def _done(self, trial: Trial, record: Record, tell: Tell, known: bool = False) -> None:
        tell(trial, record, False)
        self.stopper.finished(record)
        if trial.number:
            self.outcome.done[trial.run_id] = record
        if not known:
            self.view.event(f"done    {trial.name}   {trial.run_id}   {result(record)}")

    def _stopped(self, trial: Trial, tell: Tell) -> None:
        tell(trial, None, True)
        self.outcome.stopped.add(trial.run_id)

    def _record(self, run_id: str, status: str) -> Record | None:
        """What the store has, if it has that status. A broken folder is the child's to report."""
        with contextlib.suppress(StoreError):
            record = self.store.get(run_id)
            return record if record and record.status == status else None
        return None

    def _finished(self, run_id: str) -> Record | None:
        return self._record(run_id, "done")

    def _why(self, trial: Trial, ended: Ended) -> str:
        record = self._record(trial.run_id, "failed")
        return self.attempts.why(ended, record.error if record else "", self._log(trial))

    def _watch(self) -> None:
        """What runs too long is stopped."""
        now = time.monotonic()
        for run_id, running in self.running.items():
            if running.began is not None and self.executor.waiting(run_id):
                running.began = now
            elif running.began is not None and self.attempts.late(run_id, now - running.began):
                self.executor.stop(run_id)

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
        if memory := self.attempts.learn(running.trial, progress):
            self.executor.learn(running.trial.run_id, memory)
        if beaten := self.stopper.beaten(running.trial, progress):
            self.stopper.note(running.trial, beaten)
            self.executor.stop(running.trial.run_id)
            name = f"{running.trial.name}   {running.trial.run_id}"
            self.view.event(f"stop    {name}   {beaten}")
        return Busy(running.slot, running.trial.name, seconds, progress)

    def _log(self, trial: Trial) -> Path:
        return self.logs / f"{trial.run_id}.log"

    def _verdict(self) -> None:
        """How it ended, as the exception of that exit code."""
        line = self.outcome.line()
        if self.outcome.over < self.outcome.total and self.signals.stopping:
            if self.signals.ended:
                raise Stopped(f"{self.signals.ended.name}: {line}; the same command resumes")
            self.view.event(f"stopped: {line}; the same command resumes")
            raise KeyboardInterrupt
        if self.outcome.failed or self.outcome.refused:
            raise SweepFailed(f"{line}\n{self.outcome.failures()}\n  logs: {self.logs}")


def _once(trial: Trial) -> Ask:
    left = [trial]
    return lambda: left.pop() if left else None
