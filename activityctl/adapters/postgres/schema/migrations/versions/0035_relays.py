"""Keep relayed transactions, the nonces of relayers, and the tasks of relay services."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "relay_transactions",
        sa.Column("hook_key", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("number", "chain_id", "nonce", "gas", "max_fee_wei", "priority_fee_wei")
        ),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("relayer", "sender", "target", "data", "hash", "raw", "state")
        ),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.Text(), nullable=True),
        sa.Column("reorgs", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.ForeignKeyConstraint(
            ["hook_key"],
            ["hooks.key"],
            name=op.f("relay_transactions_hook_key_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("hook_key", "number", name=op.f("relay_transactions_pkey")),
    )
    op.create_index(
        op.f("relay_transactions_chain_id_sender_nonce_index"),
        "relay_transactions",
        ["chain_id", "sender", "nonce"],
    )
    op.create_table(
        "relayer_nonces",
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "sender", name=op.f("relayer_nonces_pkey")),
    )
    op.create_table(
        "relay_tasks",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("hook_key", "url", "task_id")),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("response", JSONB, nullable=True),
        sa.ForeignKeyConstraint(
            ["hook_key"], ["hooks.key"], name=op.f("relay_tasks_hook_key_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hook_key", name=op.f("relay_tasks_pkey")),
    )
