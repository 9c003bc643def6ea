"""Let a worker remove old entries of the audit, and what the signer no longer needs to know."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

# A worker may not delete rows of these tables: it could hide what it has done, or let the signer
# forget what it has signed and what was spent. These functions remove only what is so old that
# nobody needs it, whatever age is asked for: policies count spends of the last 366 days.
_AUDIT = """
CREATE FUNCTION {schema}.forget_audit(age interval, most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (
        DELETE FROM {schema}.audit_entries WHERE id IN (
            SELECT id FROM {schema}.audit_entries
            WHERE at < clock_timestamp() - greatest(age, interval '30 days')
            ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) FROM gone
$$"""
_SPENDS = """
CREATE FUNCTION {schema}.forget_spends(age interval, most integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH spent AS (
        DELETE FROM {schema}.spends WHERE (request_id, asset) IN (
            SELECT request_id, asset FROM {schema}.spends
            WHERE at < clock_timestamp() - greatest(age, interval '400 days')
            ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING 1
    ), signed AS (
        DELETE FROM {schema}.signed_calls WHERE hook_key IN (
            SELECT hook_key FROM {schema}.signed_calls c
            WHERE at < clock_timestamp() - greatest(age, interval '400 days')
                AND NOT EXISTS (SELECT FROM {schema}.hooks h WHERE h.key = c.hook_key)
            ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT (SELECT count(*) FROM spent) + (SELECT count(*) FROM signed)
$$"""


def upgrade() -> None:
    """Apply the migration."""
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    for function in (_AUDIT, _SPENDS):
        op.execute(function.format(schema=schema))
    for name in ("forget_audit", "forget_spends"):
        op.execute(f"REVOKE ALL ON FUNCTION {schema}.{name}(interval, integer) FROM PUBLIC")
