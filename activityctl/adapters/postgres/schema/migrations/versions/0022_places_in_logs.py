"""Add the indexes by which the log of a run, of a time, and of what went wrong is read."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.drop_index("log_entries_run_id_index", table_name="log_entries")
    op.create_index("log_entries_run_index", "log_entries", ["run_id", "transaction", "id"])
    op.create_index("log_entries_time_index", "log_entries", ["subscription_id", "created_at"])
    op.create_index(
        "log_entries_trouble_index",
        "log_entries",
        ["subscription_id", "transaction", "id"],
        postgresql_where=sa.text("level IN ('warning', 'error')"),
    )
