"""Everything in the store at once, as a report wants it: columns, and what had to be left out."""

import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from prune.store import reading
from prune.store.flat import POINT, RUN
from prune.store.index import Index


class Overview:
    """The index of the runs below `root`, as it was when this was made."""

    def __init__(self, root: Path, index: Index) -> None:
        self.root, self._index = root, index

    def columns(self) -> dict[str, list[Any]]:
        """Every point of every run, column by column (`flat.RUN`, `flat.POINT`, `path`).

        The oldest run first. No JSON is read: a hundred thousand points take a second.
        """
        names = ("path", *RUN, *POINT)
        rows = self._index.columns(RUN, POINT)
        found = dict(zip(names, map(list, zip(*rows, strict=True)), strict=False))
        columns = {name: found.get(name, []) for name in names}
        root = f"{self.root}{os.sep}"
        return {**columns, "path": [root + run for run in columns["path"]]}

    def unfinished(self) -> list[tuple[str, str, str]]:
        """Folder, status and error of each run without a point."""
        return [(str(self.root / run), status, why) for run, status, why in self._index.states()]

    def series(self, paths: Collection[str]) -> Iterator[tuple[str, int, str, float]]:
        """Path, step, name and value of every metric that the runs in these folders logged."""
        for run, step, name, value in self._index.series([reading.key(Path(p)) for p in paths]):
            yield f"{self.root}{os.sep}{run}", step, name, value

    def layers(self, paths: Collection[str]) -> dict[tuple[str, int], dict[str, list[int]]]:
        """(Path, position) of each point of these runs -> `heads` and `widths` of its layers."""
        names = [reading.key(Path(path)) for path in paths]
        found = {}
        for run, position, content in self._index.shapes(names):
            point = json.loads(content)
            shape = {"heads": point["heads"], "widths": point["widths"]}
            found[f"{self.root}{os.sep}{run}", position] = shape
        return found

    def foreign(self) -> list[str]:
        """Folders that hold a result but are not named as a run; one line each."""
        return foreign(self.root)


def foreign(root: Path) -> list[str]:
    """Folders below `root` that hold a result but are not named as a run: copies, say."""
    return sorted(
        f"{root / group / name}: not a run folder"
        for group in reading.folder_names(root)
        for name in reading.folder_names(root / group)
        if not reading.is_run_id(name) and (root / group / name / reading.RESULT).exists()
    )
