"""Add events, verdicts and gatherings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    _create_events()
    _create_verdicts()
    _create_gatherings()
    _order_firings()
    op.add_column("runs", sa.Column("events", postgresql.JSONB(), nullable=True))


def _order_firings() -> None:
    op.add_column("firings", sa.Column("event_ids", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("firings", sa.Column("order_key", sa.Text(), nullable=True))
    op.add_column(
        "firings",
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "firings", sa.Column("place", sa.BigInteger(), sa.Identity(always=True), nullable=False)
    )
    op.create_index(
        "firings_plain_index",
        "firings",
        [sa.text("priority DESC"), "fires_at", "due_at", "place"],
        postgresql_where=sa.text(
            "dispatched_at IS NULL AND order_key IS NULL AND fires_at IS NOT NULL"
        ),
    )
    op.create_index(
        "firings_ordered_index",
        "firings",
        ["order_key", "place"],
        postgresql_where=sa.text("dispatched_at IS NULL AND order_key IS NOT NULL"),
    )
    op.create_index(
        "firings_order_key_index",
        "firings",
        ["order_key", "place"],
        postgresql_where=sa.text("order_key IS NOT NULL"),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *(_text(name) for name in ("source", "event_id", "type")),
        _text("subject", nullable=True),
        _moment("occurred_at", nullable=True),
        _moment("arrived_at"),
        _text("digest"),
        _json("document"),
        _moment("routed_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pkey")),
        sa.UniqueConstraint("place", name=op.f("events_place_key")),
    )
    op.create_index(
        "events_unrouted_index",
        "events",
        ["place"],
        postgresql_where=sa.text("routed_at IS NULL"),
    )
    op.create_index(op.f("events_arrived_at_index"), "events", ["arrived_at"])
    op.create_index(op.f("events_type_arrived_at_index"), "events", ["type", "arrived_at"])
    op.create_index(op.f("events_event_id_index"), "events", ["event_id"])


def _create_verdicts() -> None:
    op.create_table(
        "verdicts",
        *(_text(name) for name in ("event_id", "subscription_id", "trigger")),
        sa.Column("feed", sa.Text(), server_default=sa.text("''"), nullable=False),
        _text("outcome"),
        _text("reason", nullable=True),
        _text("firing_key", nullable=True),
        _moment("created_at"),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["events.id"],
            name=op.f("verdicts_event_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("verdicts_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint(
            "event_id", "subscription_id", "trigger", "feed", name=op.f("verdicts_pkey")
        ),
    )
    op.create_index(
        op.f("verdicts_subscription_id_created_at_index"),
        "verdicts",
        ["subscription_id", "created_at"],
    )
    op.create_index(
        "verdicts_errors_index",
        "verdicts",
        ["created_at"],
        postgresql_where=sa.text("outcome = 'error'"),
    )


def _create_gatherings() -> None:
    op.create_table(
        "gatherings",
        *(_text(name) for name in ("id", "subscription_id", "trigger", "key")),
        _json("state"),
        _moment("due_at", nullable=True),
        _moment("opened_at"),
        _moment("updated_at"),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("gatherings_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("gatherings_pkey")),
        sa.UniqueConstraint(
            "subscription_id",
            "trigger",
            "key",
            name=op.f("gatherings_subscription_id_trigger_key_key"),
        ),
    )
    op.create_index("gatherings_due_at_index", "gatherings", ["due_at"])


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(
        name,
        postgresql.JSONB(),
        server_default=sa.text("'{}'::jsonb"),
        nullable=False,
    )
