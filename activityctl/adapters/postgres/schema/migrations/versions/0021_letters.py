"""Add what people do with dead letters, and to runs and tasks what a retry has from before."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    for name in ("retry_of", "key_run", "first_key"):
        op.add_column("runs", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("tasks", sa.Column("idempotency_key", sa.Text(), nullable=True))
    op.create_index("dead_letters_created_at_index", "dead_letters", ["created_at"])
    op.create_index("dead_letters_subscription_id_index", "dead_letters", ["subscription_id"])
    op.create_table(
        "letter_actions",
        sa.Column("letter_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("new_revision", sa.Boolean(), nullable=False),
        sa.Column("new_keys", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "action in ('retried', 'discarded')", name=op.f("letter_actions_action_check")
        ),
        sa.ForeignKeyConstraint(
            ["letter_id"], ["dead_letters.id"], name=op.f("letter_actions_letter_id_fkey")
        ),
        sa.PrimaryKeyConstraint("letter_id", "number", name=op.f("letter_actions_pkey")),
    )
    op.create_index(
        "letter_actions_run_id_index",
        "letter_actions",
        ["run_id"],
        unique=True,
        postgresql_where=sa.text("run_id IS NOT NULL"),
    )
