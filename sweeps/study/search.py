"""A search: a sampler asks for the points that promise, one by one, until its trials are used up.

A point whose run is known already (asked before, or finished in another sweep) is told at once and
costs nothing; what failed is tried again by the next `prune sweep`, as in a grid.
"""

import json
from collections import deque
from typing import Any, final

import optuna
from optuna.trial import FrozenTrial, TrialState

from prune.compose import Bases
from prune.errors import ConfigError, UsageError
from sweeps.plan import Trial, trial_of
from sweeps.search import Search
from sweeps.space import Space
from sweeps.study.base import RUN_ID, Study, distributions, experimental

SEED = 0
MANY = 1000  # trials, from where TPE takes longer for several objectives than trials should wait
FIXED = "fixed_params"  # where Optuna keeps what was enqueued
REPLACES = "replaces"  # the user attribute of a trial that is asked again: the number it had


@final
class SearchStudy(Study):
    @property
    def total(self) -> int:
        return self.search.trials - self.repeated

    def ask(self) -> Trial | None:
        if self.left:
            return self.left.popleft()
        while self.spent < self.search.trials:
            asked = self._patiently(lambda: self.study.ask(self.distributions))
            self.spent += 1
            trial = self._trial(asked.number, asked.params)
            if trial and not self._twin(trial, asked.number):
                with self._one_line():
                    self._sign(asked, trial)
                return trial
        return None

    def tell(self, trial: Trial, record: Any, stopped: bool = False) -> None:
        super().tell(trial, record, stopped)
        for number in self.twins.pop(trial.run_id, []):
            with self._one_line():
                self._tell(number, record, stopped)
        if record:
            self.done[trial.run_id] = record
        if stopped:
            self.stopped.add(trial.run_id)

    def _sampler(self, finished: int) -> optuna.samplers.BaseSampler:
        return sampler(self.search, finished)

    def _reconcile(self, trials: list[FrozenTrial]) -> None:
        self.spent = self.repeated = 0
        self.bases: Bases = {}  # so that Hydra need not compose every point from the start
        self.left: deque[Trial] = deque()  # what a killed controller had asked
        self.twins: dict[str, list[int]] = {}  # run id -> other Optuna trials of the same run
        replaced = {trial.user_attrs.get(REPLACES) for trial in trials}
        again: dict[str, FrozenTrial] = {}
        settled: set[str] = set()
        for trial in trials:
            key = json.dumps(_values(trial), sort_keys=True)
            if trial.state == TrialState.RUNNING and set(trial.params) != set(self.distributions):
                self.study.tell(trial.number, state=TrialState.FAIL)  # killed while it was asked
                again[key] = trial
            elif trial.number in replaced:
                continue
            elif trial.state != TrialState.FAIL and self._stands(trial):
                settled.add(key)
            else:
                again[key] = trial
        for key in again.keys() - settled:
            values, attributes = _values(again[key]), {REPLACES: again[key].number}
            if set(values) == set(self.distributions):
                self.study.enqueue_trial(values, user_attrs=attributes)

    def _stands(self, trial: FrozenTrial) -> bool:
        """Whether this one counts; a run that is no longer there does not."""
        if trial.state == TrialState.WAITING:
            return True  # asked and counted when its turn comes
        run_id = str(trial.user_attrs.get(RUN_ID))
        if trial.state == TrialState.RUNNING:
            self.spent += 1
            if (found := self._trial(trial.number, trial.params)) and not self._twin(
                found, trial.number
            ):
                self._sign(optuna.trial.Trial(self.study, trial._trial_id), found)
                self.left.append(found)
        elif trial.state == TrialState.COMPLETE:
            if not (record := self.find(run_id)):
                return False
            self.spent += 1
            self.repeated += run_id in self.done
            self.done[run_id] = record
        elif trial.state == TrialState.PRUNED:
            if self.find(run_id) or not self.ended(run_id):
                return False
            self.spent += 1
            self.repeated += run_id in self.stopped
            self.stopped.add(run_id)
        else:
            self.spent += 1
        return True

    def _trial(self, number: int, values: dict[str, Any]) -> Trial | None:
        """The run of these values; None, and the trial has failed, if there can be none."""
        try:
            point = self.plan.space.at(values)
            return trial_of(self.plan.space, point, number + 1, bases=self.bases)
        except ConfigError as error:
            self.problems.append(f"{values}: {error.problems[0]}")
            self.study.tell(number, state=TrialState.FAIL)
            return None

    def _twin(self, trial: Trial, number: int) -> bool:
        """Whether another trial has this run: it will be told, or was, what that one was."""
        if record := self.done.get(trial.run_id):
            self._tell(number, record)
        elif trial.run_id in self.stopped:
            self._tell(number, None, stopped=True)
        elif trial.run_id in self.numbers:
            self.twins.setdefault(trial.run_id, []).append(number)
        else:
            return False
        self.repeated += 1
        return True

    def _sign(self, asked: optuna.trial.Trial, trial: Trial) -> None:
        self.numbers[trial.run_id] = asked.number
        asked.set_user_attr("command", trial.command)
        asked.set_user_attr(RUN_ID, trial.run_id)


def _values(trial: FrozenTrial) -> dict[str, Any]:
    values: dict[str, Any] = trial.params or trial.system_attrs.get(FIXED, {})
    return values


def sampler(search: Search, finished: int) -> optuna.samplers.BaseSampler:
    """Raises UsageError if its library is missing.

    The seed moves on with the study: a sampler that starts again must not ask the same again.
    """
    seed = SEED + finished
    if search.sampler == "qmc":
        try:
            import scipy  # noqa: F401
        except ImportError as error:
            raise UsageError("sampler=qmc needs SciPy: pip install 'prune[search]'") from error
        with experimental():  # it counts in the study: no seed that moves on
            return optuna.samplers.QMCSampler(
                seed=SEED, scramble=True, warn_independent_sampling=False
            )
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if search.sampler == "tpe" and not (len(search.objectives) > 1 and finished >= MANY):
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, search.trials // 3))
    population = max(4, min(50, search.trials // 4))
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=population)


def preview(space: Space, count: int) -> list[dict[str, Any]]:
    """The values a new search of `space` asks for first."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=space.search.directions(), sampler=sampler(space.search, 0)
    )
    return [study.ask(distributions(space)).params for _ in range(count)]
