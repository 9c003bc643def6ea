"""Let triggers with the same timing share an alarm: one schedule in Temporal.

The schedules that Temporal has for single triggers are recorded as alarms that nobody wants, so
the reconciler deletes them once the shared ones are there. Until then both wake the worker, and
each due time is decided once.
"""

import sqlalchemy as sa
from alembic import op

from activityctl.domain.timing.alarm import stored_alarm_id

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "alarms",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("rings_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wakes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("restarts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("restarted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("alarms_pkey")),
    )
    op.add_column("schedules", sa.Column("alarm_id", sa.Text(), nullable=True))
    op.add_column(
        "schedules",
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.execute("INSERT INTO alarms (id, observed_at) SELECT id, observed_at FROM schedules")
    op.execute("DELETE FROM schedules WHERE wanted_hash IS NULL")
    op.execute("UPDATE schedules SET is_active = split_part(wanted_hash, chr(58), 2) = 'active'")
    _assign_alarms(op.get_bind())
    for name in (
        "wanted_hash",
        "observed_hash",
        "observed_at",
        "error",
        "wakes",
        "restarts",
        "restarted_at",
    ):
        op.drop_column("schedules", name)
    op.create_index(
        "schedules_alarm_index",
        "schedules",
        ["alarm_id", "next_at"],
        postgresql_where=sa.text("is_active AND next_at IS NOT NULL"),
    )


def _assign_alarms(connection: sa.Connection) -> None:
    timings = connection.execute(sa.text("SELECT DISTINCT kind, body FROM schedules")).all()
    for kind, body in timings:
        try:
            alarm_id = stored_alarm_id(kind, body)
        except (ValueError, KeyError, TypeError):  # an unreadable trigger fires no more
            continue
        connection.execute(
            sa.text(
                "UPDATE schedules SET alarm_id = :alarm WHERE kind = :kind AND body = :body"
            ).bindparams(sa.bindparam("body", type_=sa.dialects.postgresql.JSONB)),
            {"alarm": alarm_id, "kind": kind, "body": body},
        )
