"""Add to waits the event, the child run and the announcement that they are about."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    columns: tuple[sa.Column[Any], ...] = (
        sa.Column("place", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event", JSONB(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("own_events", ARRAY(sa.Text()), nullable=True),
        sa.Column("looks_after", sa.BigInteger(), nullable=True),
        sa.Column("child_run_id", sa.Text(), nullable=True),
        sa.Column("announce_at", sa.DateTime(timezone=True), nullable=True),
    )
    for column in columns:
        op.add_column("waits", column)
    for name, field, condition in (
        (
            "waits_event_index",
            "place",
            "event IS NOT NULL AND answered_at IS NULL AND ended_at IS NULL",
        ),
        ("waits_child_run_id_index", "child_run_id", "child_run_id IS NOT NULL"),
        ("waits_announce_index", "announce_at", "announce_at IS NOT NULL"),
    ):
        op.create_index(name, "waits", [field], postgresql_where=sa.text(condition))
