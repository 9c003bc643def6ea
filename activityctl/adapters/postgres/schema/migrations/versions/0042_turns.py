"""Find the next runs of a long queue, and the runs that hold its places, by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_index(
        "runs_slots_index",
        "runs",
        ["subscription_id", "concurrency_key"],
        postgresql_where=sa.text(
            "concurrency_key IS NOT NULL AND ended_at IS NULL "
            "AND (let_in_at IS NOT NULL OR status <> 'queued')"
        ),
    )
    op.create_index(
        "runs_turns_index",
        "runs",
        [
            "subscription_id",
            sa.text("coalesce('=' || concurrency_key, '')"),
            sa.text("coalesce('=' || throttle_key, '')"),
            sa.text("priority DESC"),
            "arrived_at",
            "place",
            "id",
        ],
        postgresql_where=sa.text("status = 'queued' AND let_in_at IS NULL AND ended_at IS NULL"),
    )
