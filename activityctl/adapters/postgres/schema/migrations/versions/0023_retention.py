"""Find the retries of a run by an index, so that what they need stays."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_index(
        "runs_retry_of_index",
        "runs",
        ["retry_of"],
        postgresql_where=sa.text("retry_of IS NOT NULL"),
    )
    op.create_index("dead_letters_run_id_index", "dead_letters", ["run_id"])
