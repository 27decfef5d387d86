"""The study: which points are open and which were told. The only file that imports optuna.

The store is the truth about runs; the study mirrors it, in the same database, for dashboards and
for samplers. One controller owns it: the runs never open it.
"""

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import Collection, Iterator

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from prune.errors import StoreError
from prune.records import Record
from sweeps.outcome import headline
from sweeps.plan import Plan, Trial

MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
OBJECTIVES = {"quality": MAXIMIZE, "speedup": MAXIMIZE, "density": MINIMIZE}
RUN_ID = "run_id"  # the user attribute that ties an Optuna trial to a run
BUSY_S = 60  # SQLite: how long to wait for another process to finish its write


class Study:
    """Ask and tell for the trials of `plan`; `done` are the run ids that the store has finished."""

    def __init__(self, url: str, plan: Plan, done: Collection[str] = ()) -> None:
        self.url = url
        self.trials = {trial.run_id: trial for trial in plan.trials}
        self.grid: dict[str, BaseDistribution] = {
            axis.name: CategoricalDistribution(list(axis.values)) for axis in plan.space.axes
        }
        self.numbers: dict[str, int] = {}  # run id -> number of its open Optuna trial
        self.left: deque[str] = deque()  # run ids that a killed controller had asked
        self.waiting = 0  # enqueued and not yet asked
        with self._one_line():
            self.study = self._open(name(plan))
            last = {t.user_attrs.get(RUN_ID): t for t in self.study.get_trials(deepcopy=False)}
            for trial in plan.trials:
                self._reconcile(trial, last.get(trial.run_id), trial.run_id in done)

    def ask(self) -> Trial | None:
        """The next open point; None if every one was asked."""
        if self.left:
            return self.trials[self.left.popleft()]
        if not self.waiting:
            return None
        with self._one_line():
            asked = self.study.ask(self.grid)
        self.waiting -= 1
        run_id = str(asked.user_attrs[RUN_ID])
        self.numbers[run_id] = asked.number
        return self.trials[run_id]

    def tell(self, trial: Trial, record: Record | None) -> None:
        """The trial is over; without a finished record it failed."""
        values = headline(record) if record else None
        state = TrialState.COMPLETE if values else TrialState.FAIL
        with self._one_line():
            self.study.tell(self.numbers.pop(trial.run_id), values, state=state)

    def _open(self, name: str) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        options = {"connect_args": {"timeout": BUSY_S}} if self.url.startswith("sqlite") else {}
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(self.url, engine_kwargs=options),
            sampler=optuna.samplers.RandomSampler(),  # a grid is enqueued, never sampled
            study_name=name,
            directions=list(OBJECTIVES.values()),
            load_if_exists=True,
        )
        study.set_user_attr("objectives", list(OBJECTIVES))  # what the values are
        return study

    def _reconcile(self, trial: Trial, last: FrozenTrial | None, done: bool) -> None:
        """Enqueue the point, unless an earlier controller did and its outcome still stands."""
        if last and last.state == TrialState.RUNNING:
            self.numbers[trial.run_id] = last.number
            self.left.append(trial.run_id)
        elif last and last.state == TrialState.WAITING:
            self.waiting += 1
        elif not (last and last.state == TrialState.COMPLETE and done):
            labels = trial.point.labels if trial.point else {}
            attributes = {RUN_ID: trial.run_id, "command": trial.command}
            self.study.enqueue_trial(dict(labels), user_attrs=attributes)
            self.waiting += 1

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of SQLAlchemy, its driver, or Optuna
            text = str(error).strip().splitlines()
            why = text[0] if text else type(error).__name__
            # The URL may hold a password: it is not shown.
            raise StoreError(
                f"the study in the index cannot be used: {why}; see PRUNE_DB"
            ) from error


def name(plan: Plan) -> str:
    """The sweep and a hash of its space: a changed space is a new study."""
    space = [[axis.name, list(axis.values)] for axis in plan.space.axes]
    content = json.dumps([space, [trial.run_id for trial in plan.trials]])
    return f"{plan.space.name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
