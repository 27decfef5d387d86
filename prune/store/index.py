"""The SQL index of the run folders: three tables that can be thrown away and made again.

SQLite beside the folders by default, PostgreSQL by URL. One database serves one runs folder.
"""

import contextlib
import fcntl
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from prune import migrations
from prune.errors import StoreError
from prune.store.files import on_network, storing
from prune.store.tables import Entry, metric_rows, metrics, point_rows, points, run_row, runs

ADVICE = {  # a word of the database's message -> what to do
    "locked": "another process has been writing for a minute: run the same command again",
    "full": "free some space there, then run the same command again",
    "connection": "start that server, or set PRUNE_DB to another database",
    "readonly": "set PRUNE_DB to a file you can write to",
    "unable to open": "set PRUNE_DB to a file you can write to",
    "disk I/O": "check that disk",
    "not a database": "delete it, then `prune db rebuild` makes it again from the run folders",
    "malformed": "delete it, then `prune db rebuild` makes it again from the run folders",
}
BUSY_S = 60  # how long a process waits for another one to finish its write
CHUNK = 500  # rows a statement
ADVISORY_LOCK = 0x9121E  # PostgreSQL: one writer at a time, as in SQLite


class Index:
    """The database. Every error it has becomes a StoreError of one line."""

    def __init__(self, url: str) -> None:
        with self._one_line(url):
            self.url = sa.make_url(url) if "://" in url else sa.URL.create("sqlite", database=url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        file = self.url.database if self.sqlite else None
        self.file = Path(file) if file and file != ":memory:" else None
        self.shown = str(self.file or self.url.render_as_string())  # this hides the password
        with self._one_line(self.shown):
            self.engine = self._engine()
        self._migrate()

    def stamps(self, group: str | None = None) -> dict[str, str]:
        """Folder (`GROUP/ID`) -> stamp of what is known of it."""
        query = sa.select(runs.c.run, runs.c.stamp)
        if group is not None:
            query = query.where(runs.c.group_name == group)
        with self._one_line(self.shown), self.engine.connect() as connection:
            return dict(map(tuple, connection.execute(query).all()))

    def contents(self, **filters: str | None) -> list[tuple[str, str]]:
        """Folder and JSON of every run that matches, oldest first."""
        query = sa.select(runs.c.run, runs.c.content).order_by(runs.c.started, runs.c.run)
        for column, value in filters.items():
            if value is not None:
                query = query.where(runs.c[column] == value)
        with self._one_line(self.shown), self.engine.connect() as connection:
            return [(run, content) for run, content in connection.execute(query)]

    def columns(self, run: Sequence[str], point: Sequence[str]) -> list[tuple[Any, ...]]:
        """A row for each point: its folder, these columns of its run, these of its own."""
        wanted = [runs.c.run, *(runs.c[name] for name in run), *(points.c[name] for name in point)]
        query = sa.select(*wanted).join_from(points, runs)
        query = query.order_by(runs.c.started, runs.c.run, points.c.position)
        with self._one_line(self.shown), self.engine.connect() as connection:
            return connection.execute(query).all()  # type: ignore[return-value]

    def states(self) -> list[tuple[str, str, str]]:
        """Folder, status and error of every run without a point."""
        query = sa.select(runs.c.run, runs.c.status, runs.c.error).order_by(runs.c.run)
        query = query.where(~sa.exists().where(points.c.run == runs.c.run))
        with self._one_line(self.shown), self.engine.connect() as connection:
            return [(run, status, error) for run, status, error in connection.execute(query)]

    def shapes(self, names: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        """Folder, position and JSON of every point of these runs."""
        with self._one_line(self.shown), self.engine.connect() as connection:
            for start in range(0, len(names), CHUNK):
                query = sa.select(points.c.run, points.c.position, points.c.content)
                query = query.where(points.c.run.in_(names[start : start + CHUNK]))
                for run, position, content in connection.execute(query).all():
                    yield run, int(position), content

    def series(self, names: Sequence[str]) -> Iterator[tuple[str, int, str, float]]:
        """Folder, step, name and value of every metric of these runs, in the order of the lines."""
        with self._one_line(self.shown), self.engine.connect() as connection:
            for start in range(0, len(names), CHUNK):
                some = names[start : start + CHUNK]
                query = sa.select(metrics.c.run, metrics.c.step, metrics.c.name, metrics.c.value)
                query = query.where(metrics.c.run.in_(some)).order_by(metrics.c.run, metrics.c.line)
                for run, step, name, value in connection.execute(query).all():
                    yield run, int(step), name, float(value)

    def put(self, entries: Sequence[Entry]) -> None:
        """Add these runs, or replace what was known of them."""
        with self._writing() as connection:
            self._drop(connection, [entry.run for entry in entries])
            for table, rows in (
                (runs, [run_row(entry) for entry in entries]),
                (points, [row for entry in entries for row in point_rows(entry)]),
                (metrics, [row for entry in entries for row in metric_rows(entry)]),
            ):
                if rows:
                    connection.execute(sa.insert(table), rows)

    def drop(self, names: Collection[str]) -> None:
        if names:
            with self._writing() as connection:
                self._drop(connection, list(names))

    def clear(self) -> None:
        with self._writing() as connection:
            for table in (metrics, points, runs):
                connection.execute(sa.delete(table))

    def _drop(self, connection: sa.Connection, names: list[str]) -> None:
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            for table in (metrics, points, runs):
                connection.execute(sa.delete(table).where(table.c.run.in_(some)))

    def _engine(self) -> sa.Engine:
        # No pool: a connection must not be carried into a forked worker, nor outlive its server.
        if not self.sqlite:
            return sa.create_engine(self.url, poolclass=sa.NullPool)
        if self.file is None:
            return sa.create_engine(self.url)
        engine = sa.create_engine(self.url, connect_args={"timeout": BUSY_S}, poolclass=sa.NullPool)
        sa.event.listen(engine, "connect", _fast)
        return engine

    def _migrate(self) -> None:
        if self.file:
            with storing(self.file.parent):
                self.file.parent.mkdir(parents=True, exist_ok=True)
            if on_network(self.file.parent):
                raise StoreError(
                    f"SQLite does not work on a network file system ({self.file}): "
                    "set PRUNE_DB to a local file or to postgresql+psycopg://USER@HOST/NAME"
                )
            if self.file.exists() and self.file.stat().st_size and self._is_current():
                return
        with self._alone():
            if self.sqlite:
                with self._one_line(self.shown), self.engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            with self._writing() as connection:
                migrations.upgrade(connection)

    def _is_current(self) -> bool:
        with self._one_line(self.shown), self.engine.connect() as connection:
            return migrations.is_current(connection)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time makes the schema of a SQLite file."""
        if self.file is None:
            yield
            return
        path = self.file.with_name(self.file.name + ".lock")
        with storing(path):
            file = open(path, "w")  # noqa: SIM115
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._one_line(self.shown), self.engine.begin() as connection:
            if self.sqlite:
                # At once, so that it waits for another writer instead of failing half-way.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
            yield connection

    @contextlib.contextmanager
    def _one_line(self, url: str) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, ImportError) as error:
            raise StoreError(explain(url, error)) from error


def _fast(connection: Any, record: object) -> None:
    # With a write-ahead log a power cut costs at most the last writes; the folders have them.
    connection.execute("PRAGMA synchronous=NORMAL")


def explain(url: str, error: Exception) -> str:
    """One line: which database, what it said, what to do."""
    if isinstance(error, ImportError):
        return f"the index {url} needs a driver ({error}): pip install 'prune[postgres]'"
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    advice = next((a for word, a in ADVICE.items() if word in text), "check PRUNE_DB")
    return f"the index {url} cannot be used: {text}; {advice}"
