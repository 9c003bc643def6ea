"""Add to tasks the lane that carries them out, and an index of the open ones."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("tasks", sa.Column("lane", sa.Text(), nullable=True))
    op.create_index(
        "tasks_open_index",
        "tasks",
        ["run_id", "name", "index"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "tasks_lane_index",
        "tasks",
        ["lane"],
        postgresql_where=sa.text("lane IS NOT NULL AND ended_at IS NULL"),
    )
