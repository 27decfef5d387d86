"""A grid: every point is enqueued by us, in its order, and asked once.

It is enqueued just before it is asked: Optuna reads all that waits at every ask.
"""

from collections import deque
from typing import final

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweeps.plan import Trial
from sweeps.study.base import RUN_ID, Study


@final
class GridStudy(Study):
    """Never samples; what was told and is still there is never asked again."""

    def ask(self) -> Trial | None:
        if self.left:
            return self.trials[self.left.popleft()]
        if not self.waiting and not self.open:
            return None
        asked = self._patiently(self._next)
        self.waiting -= 1
        run_id = str(asked.user_attrs[RUN_ID])
        self.numbers[run_id] = asked.number
        return self.trials[run_id]

    def _next(self) -> optuna.trial.Trial:
        if not self.waiting:
            trial = self.open[0]
            labels = trial.point.labels if trial.point else {}
            attributes = {RUN_ID: trial.run_id, "command": trial.command}
            self.study.enqueue_trial(dict(labels), user_attrs=attributes)
            self.open.popleft()
            self.waiting += 1
        return self.study.ask(self.distributions)

    def _sampler(self, finished: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.RandomSampler()  # never asked: a grid is enqueued

    def _reconcile(self, trials: list[FrozenTrial]) -> None:
        self.trials = {trial.run_id: trial for trial in self.plan.trials}
        self.left: deque[str] = deque()  # run ids that a killed controller had asked
        self.open: deque[Trial] = deque()  # to be enqueued
        self.waiting = 0  # enqueued and not yet asked
        last = {t.user_attrs.get(RUN_ID): t for t in trials}
        for trial in self.plan.trials:
            self._take_up(trial, last.get(trial.run_id))

    def _take_up(self, trial: Trial, last: FrozenTrial | None) -> None:
        """The point is open, unless an earlier controller asked it and its outcome still stands."""
        if record := self.find(trial.run_id):
            self.done[trial.run_id] = record
        if last and last.state == TrialState.RUNNING:
            self.numbers[trial.run_id] = last.number
            self.left.append(trial.run_id)
        elif last and last.state == TrialState.WAITING:
            self.waiting += 1
        elif last and last.state == TrialState.PRUNED and not record and self.ended(trial.run_id):
            self.stopped.add(trial.run_id)
        elif not (last and last.state == TrialState.COMPLETE and record):
            self.open.append(trial)
