"""The schema of the index, step by step, by alembic. `upgrade` brings any database up to HEAD.

Add a step: a file in `versions/` with the next number, its number below, and the tables in
`prune/store/tables.py` changed to match (a test compares them).
"""

from sqlalchemy import Connection, inspect, text

from prune.errors import StoreError

REVISIONS = ("0001", "0002")  # oldest first
HEAD = REVISIONS[-1]
# Not alembic's usual name: Optuna keeps its own under that one, and may share the database.
VERSION_TABLE = "prune_schema"


def revision(connection: Connection) -> str | None:
    """The schema of this database; None if it has none of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return None if found is None else str(found)


def is_current(connection: Connection) -> bool:
    """Whether nothing is to do. Raises StoreError if a newer prune made this database."""
    found = revision(connection)
    if found is not None and found not in REVISIONS:
        raise StoreError(
            f"the index {connection.engine.url.database} has schema {found}, "
            f"this prune knows {HEAD}: upgrade prune, or set PRUNE_DB to another database"
        )
    return found == HEAD


def upgrade(connection: Connection) -> None:
    """Run the missing steps in the transaction of `connection`; the caller commits."""
    from alembic import command
    from alembic.config import Config

    if is_current(connection):
        return
    config = Config()
    config.set_main_option("script_location", "prune:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
