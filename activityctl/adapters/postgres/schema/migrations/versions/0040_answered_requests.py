"""Keep for a day what requests with an idempotency key have changed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "answered_requests",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("actor", "key", "digest")),
        sa.Column("content", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("answered_requests_pkey")),
    )
    op.create_index(op.f("answered_requests_at_index"), "answered_requests", ["at"])
