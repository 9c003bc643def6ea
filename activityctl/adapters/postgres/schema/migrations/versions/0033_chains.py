"""Add what is read of EVM chains, and for which triggers."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

# A log of a chain may move money, so only who may write the readings of chains can say that there
# is one. The functions of the schema run as its owner; the session's user is who called them.
_REFUSE_FOREIGN_LOGS = """
CREATE FUNCTION {schema}.refuse_foreign_logs() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT has_table_privilege(session_user, '{literal}.chain_readings', 'INSERT') THEN
        RAISE insufficient_privilege
            USING MESSAGE = 'permission denied to add logs of chains to table events';
    END IF;
    RETURN NEW;
END $$"""
_TRIGGER = """
CREATE TRIGGER refuse_foreign_logs BEFORE INSERT ON {schema}.events FOR EACH ROW
WHEN (jsonb_exists(NEW.document, 'chainfeed')) EXECUTE FUNCTION {schema}.refuse_foreign_logs()"""


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "chains",
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("chains_pkey")),
    )
    op.create_table(
        "chain_readings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("confirmations", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=True),
        sa.Column("until_block", sa.BigInteger(), nullable=True),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("chain_readings_pkey")),
    )
    op.create_index("chain_readings_chain_id_index", "chain_readings", ["chain_id"])
    op.create_table(
        "chain_blocks",
        sa.Column("reading_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reading_id"],
            ["chain_readings.id"],
            name=op.f("chain_blocks_reading_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("reading_id", "number", name=op.f("chain_blocks_pkey")),
    )
    op.create_table(
        "chain_watches",
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("confirmations", sa.Integer(), nullable=False),
        sa.Column("from_block", sa.BigInteger(), nullable=True),
        sa.Column("after_block", sa.BigInteger(), nullable=False),
        sa.Column("scan", sa.Text(), nullable=True),
        sa.Column("place", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("chain_watches_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("subscription_id", "trigger", name=op.f("chain_watches_pkey")),
    )
    op.create_table(
        "chains_lock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("chains_lock_pkey")),
    )
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    for statement in (
        _REFUSE_FOREIGN_LOGS,
        "REVOKE ALL ON FUNCTION {schema}.refuse_foreign_logs() FROM PUBLIC",
        _TRIGGER,
    ):
        op.execute(statement.format(schema=schema, literal=schema.replace("'", "''")))
