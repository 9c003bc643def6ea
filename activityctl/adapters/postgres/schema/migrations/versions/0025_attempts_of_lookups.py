"""Let lookups of the context have attempts, and be held up, beside tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.drop_constraint("attempts_task_id_fkey", "attempts", type_="foreignkey")
    op.drop_constraint("holds_task_id_fkey", "holds", type_="foreignkey")
    op.add_column("attempts", sa.Column("lookup_of", sa.Text(), nullable=True))
    op.create_index(
        "attempts_lookup_index",
        "attempts",
        ["lookup_of"],
        postgresql_where=sa.text("lookup_of IS NOT NULL"),
    )
