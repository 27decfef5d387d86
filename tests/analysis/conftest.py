"""Stores made of synthetic records: real run folders, the real index."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from prune.records import Record, to_json

Filled = Callable[[Iterable[Record]], Path]


@pytest.fixture
def filled(runs: Path) -> Filled:
    """Write records as finished run folders below $PRUNE_RUNS."""

    def fill(records: Iterable[Record]) -> Path:
        for record in records:
            folder = runs / record.group / record.run_id
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(json.dumps(to_json(record)))
        return runs

    return fill
