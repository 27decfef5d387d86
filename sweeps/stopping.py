"""What a sweep does about trials that are beaten: looks at their curves, and notes it if one ends.

The note, stopped.json, is in the run's folder, which is the truth here as for results; whoever
gives the run's command gets it trained to its end.
"""

import json
from pathlib import Path
from typing import final

from prune.config import as_dict
from prune.records import Record
from prune.store import Store
from prune.store.files import write_atomic
from prune.store.reading import metric_lines
from sweeps.early_stop import RUNGS, Beaten, Race
from sweeps.plan import Plan, Trial

NOTE = "stopped.json"


@final
class Stopper:
    """Does nothing where the sweep does not ask for early stop."""

    def __init__(self, plan: Plan, store: Store) -> None:
        how = plan.space.search
        self.store, self.group = store, plan.group
        self.race = Race(how.early_stop, how.measures()) if how.early_stop else None
        self._rungs: dict[str, int] = {}  # seen last, by run id

    def finished(self, record: Record) -> None:
        """Its curve is one that others are held against."""
        if self.race:
            self.race.see(record.run_id, record.config, _lines(Path(record.path)))

    def failed(self, run_id: str) -> None:
        if self.race:
            self.race.forget(run_id)

    def beaten(self, trial: Trial, progress: dict[str, float]) -> Beaten | None:
        """Whether this running trial may end; `progress` is the last line it recorded.

        Files are read only when it has reached another rung.
        """
        steps = progress.get("steps", 0.0)
        if not (self.race and trial.number and steps):
            return None
        rung = int(RUNGS * progress.get("step", 0.0) / steps)
        if rung <= self._rungs.get(trial.run_id, 0):
            return None
        self._rungs[trial.run_id] = rung
        if rung >= RUNGS:
            return None  # trained to its end: what is left costs little
        self.race.see(trial.run_id, as_dict(trial.config), _lines(self._folder(trial.run_id)))
        return self.race.beaten(trial.run_id)

    def note(self, trial: Trial, beaten: Beaten) -> None:
        """Before it is ended, so that it is known whoever dies next."""
        content = {"why": str(beaten), "by": beaten.by, "rung": beaten.rung, "of": RUNGS}
        write_atomic(self._folder(trial.run_id) / NOTE, json.dumps(content) + "\n")

    def stopped(self, run_id: str) -> bool:
        """Whether it was ended early. Nobody was if the sweep does not ask for it any more."""
        return self.race is not None and was_stopped(self._folder(run_id))

    def _folder(self, run_id: str) -> Path:
        return self.store.root / self.group / run_id


def was_stopped(folder: Path) -> bool:
    """Whether this run was ended early; it may be finished since."""
    return (folder / NOTE).exists()


def _lines(folder: Path) -> list[dict[str, float]]:
    return [values for _, values in metric_lines(folder)]
