"""Keep for which triggers the signer has signed."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "signed_calls",
        sa.Column("hook_key", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signature", sa.Text(), nullable=True),
        sa.Column("transaction_hash", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("signed_calls_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("hook_key", name=op.f("signed_calls_pkey")),
        sa.UniqueConstraint("request_id", name=op.f("signed_calls_request_id_key")),
    )
