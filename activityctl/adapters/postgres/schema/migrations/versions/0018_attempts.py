"""Add a record of each attempt of a task, and the code of a task's error."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "attempts",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), server_default=sa.text("'running'"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome in ('running', 'succeeded', 'failed', 'lost', 'interrupted', 'stopped')",
            name=op.f("attempts_outcome_check"),
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("attempts_task_id_fkey")),
        sa.PrimaryKeyConstraint("task_id", "number", name=op.f("attempts_pkey")),
    )
    op.add_column("tasks", sa.Column("code", sa.Text(), nullable=True))
