"""The study: which points are open and which were told. The only room that imports optuna.

The store is the truth about runs; the study mirrors it, in the same database, for dashboards and
for samplers. One controller owns it: the runs never open it.
"""

from collections.abc import Callable

from prune.records import Record
from sweeps.plan import Plan
from sweeps.study.base import Study
from sweeps.study.grid import GridStudy
from sweeps.study.search import SearchStudy

__all__ = ["GridStudy", "SearchStudy", "Study", "open_study"]


def open_study(
    url: str,
    plan: Plan,
    find: Callable[[str], Record | None],
    ended: Callable[[str], bool] = lambda run_id: False,
) -> Study:
    """The study of `plan`, new or as it was left; `find` gives the finished run of an id.

    `ended` says of the others whether they were stopped early, and are not to be run again.
    """
    return (SearchStudy if plan.space.search.samples else GridStudy)(url, plan, find, ended)
