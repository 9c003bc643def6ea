"""Keep which workflow of an alarm runs a firing itself, and find open attempts by an index.

The workflow asks again if the answer was lost that named its firings.
"""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("firings", sa.Column("workflow_id", sa.Text()))
    op.create_index(
        "firings_workflow_id_index",
        "firings",
        ["workflow_id"],
        postgresql_where=sa.text("workflow_id IS NOT NULL"),
    )
    op.create_index(
        "attempts_open_index",
        "attempts",
        ["task_id"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
