"""Add the waits of tasks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("tasks", sa.Column("waits_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tasks", sa.Column("completed_by", sa.Text(), nullable=True))
    op.create_table(
        "waits",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.Column("output", JSONB(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("waits_task_id_fkey")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("waits_run_id_fkey")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("waits_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("waits_pkey")),
    )
    for name, column, condition in (
        ("waits_open_index", "run_id", "ended_at IS NULL"),
        ("waits_answered_index", "answered_at", "answered_at IS NOT NULL AND ended_at IS NULL"),
        ("waits_until_index", "until_at", "until_at IS NOT NULL AND ended_at IS NULL"),
    ):
        op.create_index(name, "waits", [column], postgresql_where=sa.text(condition))
