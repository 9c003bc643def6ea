"""Add the status of runs that wait for their tasks to stop, and the worker of an attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.drop_constraint(op.f("runs_status_check"), "runs", type_="check")
    op.create_check_constraint(
        op.f("runs_status_check"),
        "runs",
        "status in ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'skipped', "
        "'missed', 'cancelled', 'timed_out')",
    )
    op.add_column("tasks", sa.Column("worker", sa.Text(), nullable=True))
    op.add_column("tasks", sa.Column("attempt_at", sa.DateTime(timezone=True), nullable=True))
