"""Keep what is to be told of subscriptions, and what they must recover from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration. A subscription that fails today is in trouble."""
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("items", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("notices_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("notices_pkey")),
    )
    op.create_table(
        "troubles",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('failed', 'missed')", name=op.f("troubles_kind_check")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("troubles_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("troubles_pkey")),
    )
    op.create_index("troubles_subscription_id_index", "troubles", ["subscription_id"])
    op.execute(
        """INSERT INTO troubles (subscription_id, kind, count, created_at)
           SELECT id, 'failed', failures, updated_at FROM subscriptions WHERE failures > 0"""
    )
