"""What every study does: open the database, tell an outcome, turn its errors into one line."""

import contextlib
import hashlib
import json
import re
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from prune.errors import PruneError, StoreError
from prune.records import Record
from prune.store.index import ADVICE
from sweeps.plan import Plan, Trial
from sweeps.search import measured
from sweeps.space import Axis, Space

RUN_ID = "run_id"  # the user attribute that ties an Optuna trial to a run
BUSY_S = 60  # SQLite: how long to wait for another process to finish its write
AWAY_S = 60  # PostgreSQL: how long to wait for a server that restarts
AWAY = re.compile(r"connection|terminating|shutting down|starting up")
T = TypeVar("T")

Find = Callable[[str], Record | None]


class Study(ABC):
    """Ask and tell for the trials of `plan`; `find` gives the finished run of an id.

    `ended` says of the others whether they were stopped early, and are not to be run again.
    """

    def __init__(
        self, url: str, plan: Plan, find: Find, ended: Callable[[str], bool] = lambda run_id: False
    ) -> None:
        self.url, self.plan, self.find, self.ended = url, plan, find, ended
        self.search = plan.space.search
        self.distributions = distributions(plan.space)
        self.numbers: dict[str, int] = {}  # run id -> number of its open Optuna trial
        self.done: dict[str, Record] = {}  # finished before, by run id
        self.stopped: set[str] = set()  # early, before
        self.problems: list[str] = []  # points that cannot be run, and why
        with self._one_line():
            self.study = self._open(name(plan))
            self._reconcile(self.study.get_trials(deepcopy=False))

    @property
    def total(self) -> int:
        """How many different runs it will have asked for."""
        return self.plan.total

    @abstractmethod
    def ask(self) -> Trial | None:
        """The next open point; None if every one was asked."""

    @abstractmethod
    def _reconcile(self, trials: list[FrozenTrial]) -> None:
        """Take up what an earlier controller left."""

    @abstractmethod
    def _sampler(self, finished: int) -> optuna.samplers.BaseSampler:
        """For a study with so many trials."""

    def tell(self, trial: Trial, record: Record | None, stopped: bool = False) -> None:
        """The trial is over; without a finished record it failed, or was stopped early."""
        number = self.numbers.pop(trial.run_id)
        self._patiently(lambda: self._tell(number, record, stopped))

    def close(self) -> None:
        """Let go of the database."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    def _patiently(self, call: Callable[[], T]) -> T:
        """What `call` gives; a server that is just not there is waited for."""
        deadline = time.monotonic() + AWAY_S
        while True:
            try:
                with self._one_line():
                    return call()
            except StoreError as error:
                if not AWAY.search(str(error)) or time.monotonic() > deadline:
                    raise
            time.sleep(1.0)

    def _tell(self, number: int, record: Record | None, stopped: bool = False) -> None:
        found = measured(record) if record else {}
        values = [found[name] for name in self.search.objectives if name in found]
        complete = len(values) == len(self.search.objectives)
        state = TrialState.COMPLETE if complete else TrialState.FAIL
        if complete:
            self._constrain(number, found)
        if stopped:
            state = TrialState.PRUNED
        self.study.tell(number, values if complete else None, state=state)

    def _constrain(self, number: int, found: dict[str, float]) -> None:
        if not self.search.constraints:
            return
        frozen = self.study.get_trials(deepcopy=False)[number]
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        for constraint in self.search.constraints:
            if str(constraint) not in frozen.constraints:  # it may have been killed in between
                trial.set_constraint(str(constraint), constraint.violation(found))

    def _open(self, name: str) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        options: dict[str, Any] = {"pool_pre_ping": True}  # a connection may have been cut
        if self.url.startswith("sqlite"):
            options = {"connect_args": {"timeout": BUSY_S}}
        self.storage = optuna.storages.RDBStorage(self.url, engine_kwargs=options)
        study = optuna.create_study(
            storage=self.storage,
            study_name=name,
            directions=self.search.directions(),
            load_if_exists=True,
        )
        study.sampler = self._sampler(len(study.get_trials(deepcopy=False)))
        if study.user_attrs.get("objectives") != list(self.search.objectives):
            study.set_user_attr("objectives", list(self.search.objectives))  # what the values are
            with experimental():
                study.set_metric_names(list(self.search.objectives))
        return study

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except PruneError:
            raise
        except Exception as error:  # of SQLAlchemy, its driver, or Optuna
            text = str(_first(error)).strip().splitlines()
            why = text[0] if text else type(error).__name__
            advice = next((a for word, a in ADVICE.items() if word in why), "see PRUNE_DB")
            # The URL may hold a password: it is not shown.
            raise StoreError(f"the study in the index cannot be used: {why}; {advice}") from error


def _first(error: BaseException) -> BaseException:
    """What the database said, which Optuna wraps in what it makes of it; else the error itself."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(said := getattr(link, "orig", None), BaseException):
            return said
        link = link.__cause__ or link.__context__
    return error


@contextlib.contextmanager
def experimental() -> Iterator[None]:
    """What Optuna may change one day, and says so whenever it is used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def distributions(space: Space) -> dict[str, BaseDistribution]:
    return {axis.name: _distribution(axis) for axis in space.axes}


def _distribution(axis: Axis) -> BaseDistribution:
    ends = axis.interval
    if ends is None:
        return CategoricalDistribution(list(axis.values))
    if ends.whole:
        return IntDistribution(int(ends.low), int(ends.high), log=ends.log)
    return FloatDistribution(ends.low, ends.high, log=ends.log)


def name(plan: Plan) -> str:
    """The sweep and a hash of its space: a changed space is a new study.

    The trials of a search may be more the next time, and so may its sampler be another one.
    """
    space, how = plan.space, plan.space.search
    axes: list[Any] = [[a.name, list(a.values), repr(a.interval)] for a in space.axes]
    if not how.samples:
        content = json.dumps([[a[:2] for a in axes], [trial.run_id for trial in plan.trials]])
    else:
        rest = [space.base, space.fixed, how.objectives, list(map(str, how.constraints))]
        content = json.dumps([axes, *rest])
    return f"{space.name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
