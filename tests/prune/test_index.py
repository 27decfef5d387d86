"""The index against the folders, broken folders, and databases that cannot be used."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_cases import config, end, finished, holding, interrupted, python, record, saved

from prune.errors import StoreError
from prune.records import to_json
from prune.store import Store
from prune.store.files import file_system


@pytest.fixture
def store(runs: Path) -> Store:
    return Store()


def dump(database: Path) -> list[str]:
    """Everything in the tables, without when the folders were looked at."""
    with sqlite3.connect(database) as connection:
        lines = [line for line in connection.iterdump() if line.startswith("INSERT")]
    connection.close()
    return sorted(lines)


def many(store: Store) -> None:
    """One run of every kind."""
    for seed, group in ((1, "single"), (2, "sweep"), (3, "sweep")):
        finished(store, seed=seed, group=group, task="squad" if seed == 3 else "toy")
    interrupted(store, seed=4)
    with pytest.raises(ValueError), store.open_run(config(seed=5), []):
        raise ValueError("no")
    broken = Path(finished(store, seed=6).path)
    (broken / "result.json").write_text("{")


def test_rebuild_gives_the_same_index(store: Store, runs: Path) -> None:
    many(store)
    before = store.records()
    kept = dump(runs / "index.db")
    (runs / "index.db").unlink()
    (runs / "single" / "logs").mkdir()
    (runs / "single" / "copy").mkdir()
    (runs / "single" / "copy" / "result.json").write_text("{}")
    rebuilt = Store().rebuild()
    assert dump(runs / "index.db") == kept
    assert Store().records() == before
    assert rebuilt.runs == 5
    broken, foreign = rebuilt.skipped
    assert "result.json is broken" in broken
    assert foreign == f"{runs / 'single' / 'copy'}: not a run folder"


def test_records_by_group_task_and_status(store: Store) -> None:
    many(store)
    assert [r.status for r in store.records()].count("done") == 3
    assert {r.group for r in store.records(group="sweep")} == {"sweep"}
    assert len(store.records(group="sweep", task="squad", status="done")) == 1
    assert len(store.records(status="broken")) == 1
    assert store.records(group="no such") == []


def test_the_index_follows_the_folders(store: Store, runs: Path) -> None:
    first, second = finished(store, seed=1), finished(store, seed=2)
    assert len(store.records()) == 2
    shutil.move(first.path, runs / "elsewhere")
    assert store.records() == [second]
    (runs / "elsewhere").rename(first.path)
    assert store.records() == [first, second]
    # a result that another machine wrote
    changed = record(config(seed=1), seconds=99.0)
    (Path(first.path) / "result.json").write_text(json.dumps(to_json(changed)))
    assert store.records()[0].seconds == 99.0


def test_what_sql_sees(store: Store, runs: Path) -> None:
    done = finished(store)
    with sqlite3.connect(runs / "index.db") as connection:
        ask = connection.execute
        assert ask("SELECT run, experiment, seed, model FROM runs").fetchall() == [
            (f"single/{done.run_id}", "toy", 0, "toy")
        ]
        assert ask("SELECT quality, density_stored, speedup, batch FROM points").fetchall() == [
            (58.9, 0.37, 1.63, 32)
        ]
        assert ask("SELECT step, value FROM metrics WHERE name = 'loss'").fetchall() == [
            (10, 2.5),
            (20, 1.5),
        ]
        assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def result(**changes: Any) -> str:
    return json.dumps({**to_json(record(config())), **changes})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "broken"),
        (result()[:-50], "broken"),
        ("[]", "not an object"),
        (result().replace("58.9", "NaN"), "NaN is not a number"),
        (result().replace("58.9", "1e999"), "quality.f1=inf"),
        (result().replace("58.9", '"x"'), "quality.f1='x'"),
        (result(run_id="12345678"), "it is of run 12345678"),
        (result(status="running"), "status is 'running'"),
        (result(points=[]), "no point"),
        (result(steps=10**30), "steps="),
        (result(format=2), "newer prune .*: upgrade prune"),
        (result(extra=1), "not a result of this program"),
        ("[" * 100_000, "broken"),
        ("\udcff", "broken"),
    ],
)
def test_a_corrupted_result(store: Store, content: str, problem: str) -> None:
    done = finished(store)
    file = Path(done.path) / "result.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    for action in (store.find, store.done):
        with pytest.raises(StoreError, match=problem) as caught:
            action(done.run_id)
        assert str(file) in str(caught.value)
        assert "prune" in str(caught.value).split(":")[-1], "no next step"
    with pytest.raises(StoreError), store.open_run(config(), []):
        pass
    (listed,) = store.records()
    assert (listed.status, listed.run_id) == ("broken", done.run_id)
    rebuilt = store.rebuild()
    assert rebuilt.runs == 0 and str(file) in rebuilt.skipped[0]
    assert file.exists(), "nothing is lost"
    store.remove(done.run_id)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    store = Store(tmp_path_factory.mktemp("runs"))
    return store, interrupted(store)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(to_json(record(config())))), json_values)
def test_any_value_in_a_result_is_read_or_called_broken(
    unfinished: tuple[Store, Path], key: str, value: Any
) -> None:
    store, path = unfinished
    (path / "result.json").write_text(result(**{key: value}))
    (found,) = store.records()
    assert found.status in ("done", "failed", "broken")
    assert (found.run_id, found.path) == (path.name, str(path))


def test_a_corrupted_configuration_of_an_unfinished_run(store: Store) -> None:
    path = interrupted(store)
    (path / "config.yaml").write_text("a: [")
    with pytest.raises(StoreError, match=r"config\.yaml is broken"):
        store.find(path.name)
    assert [r.status for r in store.records()] == ["broken"]
    finished(store)  # the same command writes it again


def test_metrics_that_are_no_metrics(store: Store) -> None:
    path = interrupted(store)
    lines = ['{"step": 5, "loss": 1.0}', "7", '{"loss": NaN}', '{"loss": "x"}', "é", "{}"]
    (path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert store.progress(path.name) == {"step": 5, "loss": 1.0}
    assert store.progress("00000000") is None


def test_a_database_from_a_newer_schema(store: Store, runs: Path) -> None:
    with sqlite3.connect(runs / "index.db") as connection:
        connection.execute("UPDATE prune_schema SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match="schema 9999, this prune knows 0002: upgrade prune"):
        Store()


def test_a_file_that_is_no_database(runs: Path) -> None:
    runs.mkdir()
    (runs / "index.db").write_text("this is no database" * 100)
    with pytest.raises(StoreError, match="not a database; delete it, then `prune db rebuild`"):
        Store()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense://x", "PRUNE_DB"),
        ("postgresql+nodriver://x", "PRUNE_DB"),
        ("://", "PRUNE_DB"),
        ("sqlite:////dev/null/index.db", "cannot use /dev/null"),
    ],
)
def test_a_url_that_leads_nowhere(runs: Path, url: str, problem: str) -> None:
    with pytest.raises(StoreError, match=problem) as caught:
        Store(url=url)
    assert len(str(caught.value).splitlines()) == 1


def test_prune_db_names_the_database(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, url in enumerate((f"{tmp_path}/a %40/x.db", f"sqlite:///{tmp_path}/b/y.db")):
        monkeypatch.setenv("PRUNE_DB", url)
        finished(Store(), seed=number)
        assert Path(url.removeprefix("sqlite:///")).exists()
    assert not (runs / "index.db").exists()
    assert len(Store().records()) == 2


def test_a_study_may_live_in_the_same_database(store: Store) -> None:
    done = finished(store)
    code = "import sys, optuna; optuna.create_study(storage=sys.argv[1], study_name='s')"
    assert "Error" not in end(python(code, store.url))
    assert Store().records() == [done]


def test_the_migrations_make_the_tables_of_the_code(store: Store) -> None:
    import sqlalchemy as sa
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from prune import migrations
    from prune.store.tables import metadata

    engine = sa.create_engine(store.url)
    with engine.connect() as connection:
        options = {"version_table": migrations.VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    steps = ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()
    assert tuple(step.revision for step in steps)[::-1] == migrations.REVISIONS


def test_a_migration_that_fails_leaves_nothing(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy as sa

    with monkeypatch.context() as patch:
        patch.setattr(sa, "PrimaryKeyConstraint", lambda *names: sa.CheckConstraint("1 <"))
        with pytest.raises(StoreError, match="syntax error"):
            Store()
    assert dump(runs / "index.db") == []
    finished(Store())


def test_sqlite_on_a_network_file_system_is_refused(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr("prune.store.files.MOUNTS", mounts)
    with pytest.raises(StoreError, match=r"network file system .*PRUNE_DB.*postgresql\+psycopg"):
        Store()
    mounts.write_text("/dev/vda / ext4 rw 0 0\n")
    Store()


def test_the_file_system_of_a_folder(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/vda / ext4 rw 0 0\n//nas/x /data\\040sets cifs rw 0 0\n"
        "lake /data\\040sets/lake lustre rw 0 0\nx /data xfs rw 0 0\nbroken\n"
        "tmpfs /scratch tmpfs rw 0 0\nserver:/s /scratch nfs rw 0 0\n"
    )
    found = {"/": "ext4", "/data sets/a/b": "cifs", "/data sets/lake/x": "lustre", "/data": "xfs"}
    found |= {"/dataset": "ext4", "/scratch/x": "nfs"}
    for folder, expected in found.items():
        assert file_system(Path(folder), mounts) == expected
    assert file_system(Path("/"), tmp_path / "none") == ""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with pytest.raises(OSError), open(folder / "filler", "wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()


def test_a_full_disk(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(StoreError, match="free some space"):
        Store(small_disk / "runs")
    (small_disk / "filler").unlink()
    store = Store(small_disk / "runs")
    with pytest.raises(StoreError) as caught, store.open_run(config(), []) as folder:
        saved(folder)
        fill(small_disk)
        folder.finish(record(config()))
    text = str(caught.value)
    assert "result.json: No space left" in text and len(text.splitlines()) == 1
    assert {p.name for p in folder.path.iterdir()} == {
        "lock", "env.json", "overrides.yaml", "config.yaml", "model",
    }  # fmt: skip
    with pytest.raises(StoreError, match="space"), store.open_run(config(seed=1), []):
        pass
    (small_disk / "filler").unlink()
    assert finished(store).status == "done"


def test_a_read_only_disk(small_disk: Path) -> None:
    done = finished(Store(small_disk / "runs"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for action in (lambda: Store(small_disk / "new"), lambda: finished(Store(small_disk / "runs"))):
        with pytest.raises(StoreError, match=r"PRUNE_RUNS|PRUNE_DB|done already") as caught:
            action()
        assert len(str(caught.value).splitlines()) == 1
    assert Path(done.path).exists()


def test_a_store_is_looked_at_while_a_run_is_held(store: Store, runs: Path) -> None:
    process = holding(runs)
    for _ in range(20):
        assert [r.status for r in Store().records()] == ["running"]
    assert end(process) == ""
