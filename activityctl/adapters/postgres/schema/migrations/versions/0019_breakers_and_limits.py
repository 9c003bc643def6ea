"""Add circuit breakers, limits, and the tasks that they hold up."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("tasks", sa.Column("guard", postgresql.JSONB(), nullable=True))
    op.add_column("attempts", sa.Column("breaker", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("limit_name", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("fault", sa.Boolean(), nullable=True))
    op.create_index(
        "attempts_breaker_index",
        "attempts",
        ["breaker", "ended_at"],
        postgresql_where=sa.text("breaker IS NOT NULL"),
    )
    op.create_index(
        "attempts_limit_index",
        "attempts",
        ["limit_name"],
        postgresql_where=sa.text("limit_name IS NOT NULL AND ended_at IS NULL"),
    )
    op.create_table(
        "breakers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("open_until", _MOMENT, nullable=True),
        sa.Column(
            "probes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("succeeded", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("openings", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "status in ('closed', 'open', 'half_open')", name=op.f("breakers_status_check")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("breakers_pkey")),
    )
    op.create_table(
        "limits",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("used_until", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("limits_pkey")),
    )
    op.create_table(
        "holds",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("breaker", sa.Text(), nullable=True),
        sa.Column("limit_name", sa.Text(), nullable=True),
        sa.Column("slot_at", _MOMENT, nullable=True),
        sa.Column("look_at", _MOMENT, nullable=False),
        sa.Column("since", _MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("holds_task_id_fkey")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("holds_pkey")),
    )
    op.create_index(
        "holds_limit_index",
        "holds",
        ["limit_name", "place"],
        postgresql_where=sa.text("limit_name IS NOT NULL"),
    )
