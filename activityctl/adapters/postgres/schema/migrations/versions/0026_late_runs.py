"""Keep which runs missed a deadline of their slo."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "late_runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("deadline", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("late_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("deadline in ('start', 'end')", name=op.f("late_runs_deadline_check")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("late_runs_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("run_id", "deadline", name=op.f("late_runs_pkey")),
    )
    op.create_index("late_runs_noticed_at_index", "late_runs", ["noticed_at"])
