"""Keep what executions spend, for the limits of policies."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "spends",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(78, 0), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("spends_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("request_id", "asset", name=op.f("spends_pkey")),
    )
    op.create_index(
        op.f("spends_subscription_id_asset_at_index"), "spends", ["subscription_id", "asset", "at"]
    )
