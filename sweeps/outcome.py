"""What became of the trials: counts, the front as one line, and the same as JSON."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from prune.records import Record
from sweeps.plan import Trial
from sweeps.search import measured


@dataclass
class Outcome:
    total: int
    done: dict[str, Record] = field(default_factory=dict)  # by run id
    failed: dict[str, tuple[Trial, str]] = field(default_factory=dict)  # and why
    stopped: set[str] = field(default_factory=set)  # early: run ids
    refused: list[str] = field(default_factory=list)  # points of a search that are no run
    retried: int = 0

    @property
    def over(self) -> int:
        """Trials that need nothing more."""
        return len(self.done) + len(self.stopped)

    def line(self) -> str:
        """done 6 of 21 · retried 1 · front 2 points: 61.0@1.2x 60.2@1.5x"""
        words = [f"done {len(self.done)} of {self.total}"]
        words += [f"retried {self.retried}"] if self.retried else []
        words += [f"stopped early {len(self.stopped)}"] if self.stopped else []
        words += [f"failed {len(self.failed)}"] if self.failed else []
        words += [f"refused {len(self.refused)}"] if self.refused else []
        best = front(self.done.values())
        if best:
            points = " ".join(f"{quality:.1f}@{speedup:.1f}x" for quality, speedup, _ in best)
            words.append(f"front {len(best)} point{'s' if len(best) > 1 else ''}: {points}")
        return " · ".join(words)

    def failures(self) -> str:
        """One line a failed trial."""
        failed = [f"{trial.name}  {run_id}  {why}" for run_id, (trial, why) in self.failed.items()]
        return "\n".join(f"  {line}" for line in [*failed, *self.refused])

    def as_dict(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "done": list(self.done),
            "failed": {run_id: why for run_id, (_, why) in self.failed.items()},
            "stopped": sorted(self.stopped),
            "refused": self.refused,
            "retried": self.retried,
            "front": [
                {"run_id": run_id, "quality": quality, "speedup": speedup}
                for quality, speedup, run_id in front(self.done.values())
            ],
        }


def headline(record: Record) -> tuple[float, float, float] | None:
    """Quality, speedup and density of the final artifact; None if they were not measured."""
    if not (found := measured(record)):
        return None
    return found["quality"], found["speedup"], found["density"]


def front(records: Iterable[Record]) -> list[tuple[float, float, str]]:
    """Quality, speedup and run id of the runs that no other one beats in both, best first."""
    known = [(record.run_id, headline(record)) for record in records]
    points = [(found[0], found[1], run_id) for run_id, found in known if found]
    best: list[tuple[float, float, str]] = []
    for quality, speedup, run_id in sorted(points, reverse=True):
        if not best or speedup > best[-1][1]:
            best.append((quality, speedup, run_id))
    return best


def result(record: Record) -> str:
    """F1 58.9   density 0.37   speedup 1.63x"""
    if not (found := headline(record)):
        return "nothing measured"
    quality, speedup, density = found
    metric = record.metric.replace("_", " ").capitalize()
    return f"{metric} {quality:.1f}   density {density:.2f}   speedup {speedup:.2f}x"
