"""Add to runs since when, and why, the code of their workflow cannot go on."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("runs", sa.Column("stuck_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("runs", sa.Column("stuck_reason", sa.Text(), nullable=True))
