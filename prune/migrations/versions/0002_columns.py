"""What a report reads, as columns, so that it need not read the JSON of every run."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RUNS = {
    **dict.fromkeys(("recipe", "command"), sa.Text),
    **dict.fromkeys(("variant", "published"), sa.String),
    **dict.fromkeys(("penalty", "target_density", "epochs"), sa.Float),
    **dict.fromkeys(("ramp_epochs", "reference"), sa.Float),
}
POINTS = {
    **dict.fromkeys(("heads", "neurons"), sa.BigInteger),
    "artifact": sa.String,
    **dict.fromkeys(("qualities", "cells"), sa.Text),
}


def upgrade() -> None:
    # The folders are the truth: what is forgotten here is read from them again, complete. So the
    # long column can go to the end of its table, where it does not slow down reading the others.
    for table in ("metrics", "points", "runs"):
        op.execute(f"DELETE FROM {table}")
    for table, columns in (("runs", RUNS), ("points", POINTS)):
        op.drop_column(table, "content")
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind))
        op.add_column(table, sa.Column("content", sa.Text, nullable=False, server_default="{}"))


def downgrade() -> None:
    for table, columns in (("points", POINTS), ("runs", RUNS)):
        for name in columns:
            op.drop_column(table, name)
