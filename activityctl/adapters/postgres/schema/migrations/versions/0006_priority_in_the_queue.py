"""Add the priority of queued runs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column(
        "runs",
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
