"""Add the time after which maxFirings counts, and an index to find old started firings."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("schedules", sa.Column("counts_after", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "firings_dispatched_index",
        "firings",
        ["dispatched_at"],
        postgresql_where=sa.text("dispatched_at IS NOT NULL"),
    )
