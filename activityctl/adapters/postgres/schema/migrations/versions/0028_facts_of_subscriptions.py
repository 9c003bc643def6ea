"""Index failed runs, dead letters and late runs by subscription and time, for `describe`."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_index(
        "runs_failed_index",
        "runs",
        ["subscription_id", "created_at"],
        postgresql_where=sa.text("status IN ('failed', 'timed_out')"),
    )
    op.create_index(
        "dead_letters_subscription_index", "dead_letters", ["subscription_id", "created_at"]
    )
    op.drop_index("dead_letters_subscription_id_index", "dead_letters")
    op.create_index("late_runs_subscription_index", "late_runs", ["subscription_id", "noticed_at"])
