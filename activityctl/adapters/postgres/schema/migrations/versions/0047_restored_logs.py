"""Show the log lines again that a restore on a young server has put before the begin of the log."""

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration. The number of a line decides among those of the same transaction."""
    op.execute("UPDATE log_entries SET transaction = 0 WHERE transaction < 0")
