"""Keep the tokens of the HTTP API, and a record of what was changed."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _moments(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, JSONB, nullable=False, server_default=sa.text("'{}'::jsonb"))


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "api_tokens",
        *_texts("id", "name", "digest"),
        _json("scopes"),
        *_moments("created_at"),
        *_texts("created_by"),
        *_moments("expires_at", "revoked_at", "last_used_at", nullable=True),
        *_texts("last_used_from", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("api_tokens_pkey")),
        sa.UniqueConstraint("name", name=op.f("api_tokens_name_key")),
    )
    op.create_table(
        "audit_entries",
        *_texts("id"),
        *_moments("at"),
        *_texts("actor", "action", "target", "outcome"),
        *_texts("address", "request_id", nullable=True),
        _json("details"),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_entries_pkey")),
    )
    op.create_index(op.f("audit_entries_at_index"), "audit_entries", ["at"])
