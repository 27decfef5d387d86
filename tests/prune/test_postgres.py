"""Index and study in PostgreSQL: eight writers, a restart, a server that is away."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from prune import cli, compose
from prune.errors import StoreError
from prune.store import Store
from tests import postgres

WRITER = """
import sys
from prune import compose
from prune.store import Store
for seed in range(int(sys.argv[1]), int(sys.argv[1]) + 4):
    store = Store()
    config = compose.plain("+experiment=toy", f"seed={seed}")
    with store.open_run(config, [f"seed={seed}"]) as folder:
        folder.log(1, steps=1, loss=2.0)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    made = postgres.start()
    yield made
    made.remove()


@pytest.fixture
def url(
    server: postgres.Server,
    request: pytest.FixtureRequest,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    made = server.database(request.node.name[:60])
    monkeypatch.setenv("PRUNE_DB", made)
    return made


def test_eight_writers_at_once_make_the_schema_once_and_lose_nothing(url: str, runs: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(10 * n)], env=os.environ.copy())
        for n in range(8)
    ]
    assert [writer.wait() for writer in writers] == [0] * 8
    records = Store().records()
    assert len(records) == 32 and {record.status for record in records} == {"interrupted"}
    rebuilt = Store().rebuild()
    assert rebuilt.runs == 32 and Store().records() == records


def test_a_restart_is_outlived_and_a_server_that_is_away_is_one_line(
    url: str, server: postgres.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store()
    with store.open_run(compose.plain("+experiment=toy"), []):
        pass
    server.stop()
    try:
        with pytest.raises(StoreError, match="cannot be used") as caught:
            Store()
        assert len(str(caught.value).splitlines()) == 1
        assert cli.main(["runs", "ls"]) == 1
        said = capsys.readouterr().err
        assert said.startswith("prune: the index postgresql+psycopg://") and "PRUNE_DB" in said
    finally:
        server.start()
    assert len(store.records()) == 1  # the same store, over a connection that was cut


def test_a_study_waits_for_a_server_that_restarts(url: str, server: postgres.Server) -> None:
    from sweeps.plan import plan
    from sweeps.space import changed, parse
    from sweeps.study import open_study

    content = {"experiment": "toy", "space": {"seed": "1,2,3"}}
    study = open_study(Store().url, plan(changed(parse("test", content), [])), lambda run_id: None)
    first = study.ask()
    assert first
    server.stop()
    timer = threading.Timer(2.0, server.start)
    timer.start()
    second = study.ask()
    timer.join()
    assert second and second != first
    study.tell(first, None)
    again = open_study(Store().url, study.plan, lambda run_id: None)
    rest = [again.ask() for _ in range(3)]  # the one left running, and the two still open
    assert rest[0] == second and first in rest  # the one that failed is asked again
    assert len({trial.run_id for trial in rest if trial}) == 3
    assert again.ask() is None
    study.close(), again.close()
