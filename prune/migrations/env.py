"""Alembic calls this to run the steps, on the connection that `prune.migrations` hands over."""

from alembic import context

from prune.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
