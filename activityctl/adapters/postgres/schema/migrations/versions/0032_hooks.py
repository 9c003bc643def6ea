"""Keep the triggers of executors, and the on-chain accounts of subscriptions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("subscriptions", sa.Column("account", JSONB, nullable=True))
    op.create_table(
        "hooks",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("key", "subscription_id", "run_id", "request_id")
        ),
        sa.Column("payload", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", JSONB, nullable=True),
        sa.Column("executed_request", sa.Text(), nullable=True),
        sa.Column("executed_response", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("hooks_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("hooks_pkey")),
    )
    op.create_index(
        op.f("hooks_subscription_id_created_at_index"), "hooks", ["subscription_id", "created_at"]
    )
    op.create_index(op.f("hooks_run_id_index"), "hooks", ["run_id"])
    op.create_table(
        "hook_counts",
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_request_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("hook_counts_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("hook_counts_pkey")),
    )
