"""Index failed runs by time, for `top`."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_index(
        "runs_failed_time_index",
        "runs",
        ["created_at"],
        postgresql_where=sa.text("status IN ('failed', 'timed_out')"),
    )
