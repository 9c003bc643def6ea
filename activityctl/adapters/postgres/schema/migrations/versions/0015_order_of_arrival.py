"""Add to runs their place in the queue: when their firing arrived, and its place in the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    # The default is set afterwards: with a new column it would be written into every row.
    op.add_column("runs", sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("runs", "arrived_at", server_default=sa.text("clock_timestamp()"))
    op.add_column(
        "runs", sa.Column("place", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.execute("UPDATE runs SET arrived_at = created_at WHERE ended_at IS NULL")
    op.drop_index(
        "runs_queue_index",
        table_name="runs",
        postgresql_where=sa.text("status = 'queued' AND let_in_at IS NULL AND ended_at IS NULL"),
    )
    op.create_index(
        "runs_queue_index",
        "runs",
        ["subscription_id", "arrived_at", "place"],
        postgresql_where=sa.text("status = 'queued' AND let_in_at IS NULL AND ended_at IS NULL"),
    )
    op.create_index(
        op.f("firings_subscription_id_place_index"), "firings", ["subscription_id", "place"]
    )
