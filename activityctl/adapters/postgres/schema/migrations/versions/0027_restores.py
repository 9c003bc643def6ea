"""Keep what a restore of the database from a backup asks of the workers."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration. A restored backup of an older version has the table already."""
    op.execute("""
        CREATE TABLE IF NOT EXISTS restores (
            id text NOT NULL CONSTRAINT restores_pkey PRIMARY KEY,
            fenced_until timestamptz,
            taken_at timestamptz NOT NULL,
            restored_at timestamptz,
            settled_at timestamptz,
            ended jsonb
        )""")
