"""Keep which nodes the watcher of a chain asks, and their faults."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("chains", sa.Column("nodes", JSONB(), nullable=True))
