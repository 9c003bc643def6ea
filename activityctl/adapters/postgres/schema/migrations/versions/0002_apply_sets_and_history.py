"""Add apply sets and history."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "applies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("source_commit", sa.Text(), nullable=True),
        sa.Column("applyset", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("applies_pkey")),
    )
    op.create_table(
        "apply_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("apply_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "fields",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("revision_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["apply_id"], ["applies.id"], name=op.f("apply_changes_apply_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("apply_changes_pkey")),
        sa.UniqueConstraint(
            "kind", "name", "number", name=op.f("apply_changes_kind_name_number_key")
        ),
    )
    op.create_index(
        op.f("apply_changes_apply_id_index"), "apply_changes", ["apply_id"], unique=False
    )
    op.add_column("definitions", sa.Column("applyset", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("applyset", sa.Text(), nullable=True))
