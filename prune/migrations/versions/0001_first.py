"""Runs, their points and their metrics."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _runs()
    _points()
    op.create_table(
        "metrics",
        sa.Column("run", sa.String, sa.ForeignKey("runs.run", ondelete="CASCADE")),
        sa.Column("line", sa.BigInteger),
        sa.Column("name", sa.String),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("run", "line", "name"),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("group_name", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("experiment", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("metric", sa.String, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("teacher", sa.String),
        sa.Column("attention", sa.String),
        sa.Column("attention_algorithm", sa.String),
        sa.Column("ffn", sa.String),
        sa.Column("ffn_algorithm", sa.String),
        sa.Column("seed", sa.BigInteger),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("steps", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("stamp", sa.String, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    for name in ("run_id", "group_name", "task", "status"):
        op.create_index(f"ix_runs_{name}", "runs", [name])


def _points() -> None:
    op.create_table(
        "points",
        sa.Column("run", sa.String, sa.ForeignKey("runs.run", ondelete="CASCADE")),
        sa.Column("position", sa.Integer),
        sa.Column("stage", sa.String, nullable=False),
        sa.Column("quality", sa.Float),
        sa.Column("density_nonzero", sa.Float, nullable=False),
        sa.Column("density_stored", sa.Float, nullable=False),
        sa.Column("density_model", sa.Float, nullable=False),
        sa.Column("size_mb", sa.Float, nullable=False),
        sa.Column("dense_size_mb", sa.Float, nullable=False),
        sa.Column("batch", sa.BigInteger),
        sa.Column("length", sa.BigInteger),
        sa.Column("runtime", sa.String),
        sa.Column("dense_ms", sa.Float),
        sa.Column("pruned_ms", sa.Float),
        sa.Column("speedup", sa.Float),
        sa.Column("speedup_low", sa.Float),
        sa.Column("speedup_high", sa.Float),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run", "position"),
    )


def downgrade() -> None:
    for table in ("metrics", "points", "runs"):
        op.drop_table(table)
