"""Add to firings how often their start failed, since when, why, and when it is tried again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column(
        "firings",
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("firings", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True))
    op.add_column("firings", sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("firings", sa.Column("error", sa.Text(), nullable=True))
    op.create_index(
        "firings_failing_index",
        "firings",
        ["not_before"],
        postgresql_where=sa.text("dispatched_at IS NULL AND attempts > 0"),
    )
