"""Keep event sources, what came to them, and the last requests that they refused."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_COUNTS = ("accepted", "duplicates", "challenges", "ignored", "refused")
_EMPTY = sa.text("'{}'::jsonb")


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "event_sources",
        sa.Column("name", sa.Text(), nullable=False),
        *(
            sa.Column(name, JSONB, nullable=False, server_default=_EMPTY)
            for name in ("spec", "labels", "annotations")
        ),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=name == "deleted_at")
            for name in ("created_at", "updated_at", "deleted_at")
        ),
        sa.Column("applyset", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("event_sources_pkey")),
    )
    op.create_table(
        "source_traffic",
        sa.Column("source", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))
            for name in _COUNTS
        ),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=True)
            for name in ("last_accepted_at", "last_refused_at")
        ),
        sa.PrimaryKeyConstraint("source", name=op.f("source_traffic_pkey")),
    )
    op.create_table(
        "refused_requests",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("code", "reason")),
        sa.Column("status", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("method", "content_type")),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("refused_requests_pkey")),
    )
    op.create_index(op.f("refused_requests_source_id_index"), "refused_requests", ["source", "id"])
    op.create_index(op.f("refused_requests_at_index"), "refused_requests", ["at"])
