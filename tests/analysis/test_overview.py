"""The columns of the index against the records in the folders, and an index of an older schema."""

import json
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from alembic import command as alembic
from alembic.config import Config

from analysis.filters import cell_of, parse
from analysis.frame import frame, from_columns
from analysis.loading import load
from analysis.published import records
from prune.errors import MissingInputError
from prune.migrations import VERSION_TABLE
from prune.records import Record
from prune.store import Store
from tests.analysis.conftest import Filled
from tests.analysis.publications import checkpoint, file, filled
from tests.analysis.synthetic import store


def published() -> list[Record]:
    found = records(file(one=checkpoint(), two=filled("one")), "a.json")
    return [item for item in found if isinstance(item, Record)]


@pytest.mark.parametrize("cell", [None, "batch=1", "batch=128"])
def test_the_columns_are_what_the_records_say(filled: Filled, cell: str | None) -> None:
    filled([*store(30), *store(10, "toy")])
    Store().adopt(published())
    accepts = cell_of([parse(cell)] if cell else [])
    by_column = from_columns(Store().overview().columns(), accepts)
    by_record = frame(Store().records(), accepts)
    pd.testing.assert_frame_equal(by_column, by_record)
    assert len(by_column) == {None: 44, "batch=1": 42, "batch=128": 2}[cell]


def test_a_single_round_has_no_interval_and_an_unknown_size_is_missing() -> None:
    table = frame(published())
    assert table[["speedup_low", "speedup_high", "size_mb", "dense_size_mb"]].isna().all(axis=None)
    assert (table["speedup"] == 2.0).all() and (table["source"] == "a.json").all()


def test_runs_that_differ_in_their_seed_alone_are_variants_of_one_another() -> None:
    runs = store(6)
    same = [r.config | {"seed": s} for s, r in enumerate([runs[1]] * 3)]
    table = frame([Record(**{**vars(runs[1]), "config": config}) for config in same])
    assert table["seed"].tolist() == [0, 1, 2] and table["variant"].nunique() == 1
    assert frame(runs)["variant"].nunique() == 7


def test_an_index_of_the_first_schema_is_made_anew(runs: Path, filled: Filled) -> None:
    root = filled(store(3))
    engine = sa.create_engine(f"sqlite:///{root}/index.db")
    config = Config()
    config.set_main_option("script_location", "prune:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, "0001")
        row = {"run": "single/00000000", "run_id": "00000000", "group_name": "single"}
        row |= dict.fromkeys(("status", "experiment", "task", "metric", "started"), "x")
        row |= {"seconds": 0, "steps": 0, "error": "", "stamp": "old", "content": "{}"}
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        connection.execute(sa.text(f"INSERT INTO runs ({names}) VALUES ({values})"), row)
    engine.dispose()
    assert len(Store().overview().columns()["path"]) == 4
    with sqlite3.connect(root / "index.db") as database:
        assert database.execute(f"SELECT * FROM {VERSION_TABLE}").fetchall() == [("0002",)]
    database.close()


def test_what_cannot_be_read_is_named(runs: Path, filled: Filled) -> None:
    root = filled(store(2))
    for number in range(4):
        folder = root / "single" / f"0000000{number}"
        folder.mkdir()
        (folder / "result.json").write_text("{" if number else json.dumps({"format": 99}))
    (root / "single" / "copy").mkdir()
    (root / "single" / "copy" / "result.json").write_text("{}")
    (root / "single" / "logs").mkdir()
    notes = load([]).notes
    assert notes[0] == "4 runs without a result: 4 broken"
    assert "00000000" in notes[1] and "newer prune" in notes[1]
    assert notes[4] == "skipped 2 more: prune db rebuild names them"
    assert len(notes) == 5 and all(len(note.splitlines()) == 1 for note in notes)


def test_filters_that_leave_nothing(filled: Filled) -> None:
    filled(store(2))
    with pytest.raises(MissingInputError, match="no point matches task=mnli; there are 3: task sq"):
        load([parse("task=mnli")])


def test_the_metrics_of_chosen_runs(filled: Filled) -> None:
    root = filled(store(3))
    folders = sorted(p.parent for p in root.rglob("result.json"))
    for number, folder in enumerate(folders):
        (folder / "metrics.jsonl").write_text(f'{{"step": 1, "loss": {number}.5}}\n')
    found = list(Store().overview().series([str(folder) for folder in folders[1:3]]))
    assert found == [(str(folders[n]), 1, "loss", n + 0.5) for n in (1, 2)]
