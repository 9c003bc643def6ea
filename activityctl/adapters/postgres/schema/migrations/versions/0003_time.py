"""Add cursors, waiting firings, backfills, slots for concurrent runs, and calendars."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    _create_calendars()
    _create_backfills()
    _extend_subscriptions()
    _extend_schedules()
    _extend_firings()
    _extend_runs()


def _create_calendars() -> None:
    op.create_table(
        "calendars",
        sa.Column("name", sa.Text(), nullable=False),
        *(_json(name) for name in ("days", "labels", "annotations")),
        _moment("created_at", nullable=False),
        _moment("updated_at", nullable=False),
        _moment("deleted_at"),
        sa.Column("applyset", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("calendars_pkey")),
    )


def _create_backfills() -> None:
    op.create_table(
        "backfills",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        _moment("from_at", nullable=False),
        _moment("to_at", nullable=False),
        sa.Column("max_parallel", sa.Integer(), nullable=False),
        _moment("created_at", nullable=False),
        _moment("cancelled_at"),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("backfills_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("backfills_pkey")),
    )


def _extend_subscriptions() -> None:
    op.add_column("subscriptions", _count("failures"))
    op.add_column("subscriptions", sa.Column("pause_reason", sa.Text(), nullable=True))
    op.add_column("subscriptions", _moment("paused_at"))
    op.add_column("subscriptions", sa.Column("paused_by_run", sa.Text(), nullable=True))


def _extend_schedules() -> None:
    now = sa.text("now()")
    op.add_column("schedules", _moment("cursor", nullable=False, server_default=now))
    op.add_column("schedules", _moment("next_at"))
    for name in ("fired", "wakes", "restarts"):
        op.add_column("schedules", _count(name))
    op.add_column("schedules", _moment("restarted_at"))
    op.create_index(
        "schedules_next_at_index",
        "schedules",
        ["next_at"],
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )
    # The wanted hash is computed in another way from now on. Create each schedule in Temporal
    # again, which also computes its first next_at.
    op.execute("UPDATE schedules SET observed_hash = NULL")


def _extend_firings() -> None:
    op.add_column("firings", _moment("fires_at"))
    op.add_column("firings", sa.Column("backfill_id", sa.Text(), nullable=True))
    op.create_foreign_key(
        op.f("firings_backfill_id_fkey"), "firings", "backfills", ["backfill_id"], ["id"]
    )
    op.execute("UPDATE firings SET fires_at = created_at")
    op.drop_index("firings_waiting_index", table_name="firings")
    op.create_index(
        "firings_waiting_index",
        "firings",
        ["fires_at"],
        postgresql_where=sa.text("dispatched_at IS NULL"),
    )
    op.create_index(
        "firings_backfill_id_index",
        "firings",
        ["backfill_id", "fires_at", "due_at"],
        postgresql_where=sa.text("backfill_id IS NOT NULL"),
    )


def _extend_runs() -> None:
    for name in ("cancel_reason", "concurrency_key", "throttle_key"):
        op.add_column("runs", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("runs", _moment("let_in_at"))
    op.create_index(
        op.f("runs_subscription_id_trigger_due_at_index"),
        "runs",
        ["subscription_id", "trigger", "due_at"],
    )
    op.create_index(
        "runs_places_index",
        "runs",
        ["subscription_id", "concurrency_key"],
        postgresql_where=sa.text("concurrency_key IS NOT NULL AND ended_at IS NULL"),
    )
    op.create_index(
        "runs_queue_index",
        "runs",
        ["subscription_id", "created_at"],
        postgresql_where=sa.text("status = 'queued' AND let_in_at IS NULL AND ended_at IS NULL"),
    )
    op.create_index(
        "runs_throttle_index",
        "runs",
        ["subscription_id", "throttle_key", "let_in_at"],
        postgresql_where=sa.text("throttle_key IS NOT NULL"),
    )


def _moment(
    name: str, *, nullable: bool = True, server_default: sa.TextClause | None = None
) -> sa.Column[object]:
    kind = sa.DateTime(timezone=True)
    return sa.Column(name, kind, nullable=nullable, server_default=server_default)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(
        name,
        postgresql.JSONB(astext_type=sa.Text()),
        server_default=sa.text("'{}'::jsonb"),
        nullable=False,
    )
