"""Add to firings the revision and the params of their runs, from the apply that decided them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("firings", sa.Column("revision_id", sa.Text(), nullable=True))
    op.add_column("firings", sa.Column("params", JSONB(), nullable=True))
