"""Let an entry of the audit say which entry about a begun change it closes."""

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("audit_entries", sa.Column("closes", sa.Text(), nullable=True))
    op.create_index(
        op.f("audit_entries_closes_index"),
        "audit_entries",
        ["closes"],
        postgresql_where=sa.text("closes IS NOT NULL"),
    )
