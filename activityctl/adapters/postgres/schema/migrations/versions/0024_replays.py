"""Add to firings how they replay a run, and to runs the link to it and the keys of new calls."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.alter_column("runs", "retry_of", new_column_name="replay_of")
    op.add_column(
        "runs",
        sa.Column("fresh_keys", JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")),
    )
    op.execute("ALTER INDEX runs_retry_of_index RENAME TO runs_replay_of_index")
    op.add_column("firings", sa.Column("replay", JSONB(), nullable=True))
