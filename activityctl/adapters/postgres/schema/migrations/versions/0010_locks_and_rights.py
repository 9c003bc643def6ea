"""Add locks that need a right, and the functions through which events are stored."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_LOCKS = ("catalog", "router", "reconciler", "drift", "backfills")
_GATES = 1024

# Whoever holds one of the advisory locks of earlier versions counts only if it may write: any
# login may take an advisory lock. The numbers are those of pg_locks for a bigint.
_IS_HELD_BY_WRITER = """
CREATE FUNCTION {schema}.is_held_by_writer(number bigint) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND l.classid::bigint = (number >> 32) & 4294967295
          AND l.objid::bigint = number & 4294967295
          AND l.pid <> pg_backend_pid()
          AND has_any_column_privilege(a.usesysid, '{literal}.subscriptions', 'UPDATE'))
$$"""
_TAKE_OLD_LOCK = """
CREATE FUNCTION {schema}.take_old_lock(number bigint, is_shared boolean, waits boolean)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOOP
        IF (CASE WHEN is_shared THEN pg_try_advisory_xact_lock_shared(number)
                 ELSE pg_try_advisory_xact_lock(number) END) THEN
            RETURN true;
        END IF;
        IF NOT {schema}.is_held_by_writer(number) THEN
            RETURN true;
        END IF;
        IF NOT waits THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$"""
# The lock of a table keeps no transaction id busy, so that a long lock does not hold up the log.
_TAKE_LOCK = """
CREATE FUNCTION {schema}.take_lock(name text, is_shared boolean, waits boolean, old_number bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('LOCK TABLE %s.%I IN %s MODE %s', '{literal}', name || '_lock',
        CASE WHEN is_shared THEN 'SHARE' ELSE 'EXCLUSIVE' END,
        CASE WHEN waits THEN '' ELSE 'NOWAIT' END);
    RETURN {schema}.take_old_lock(old_number, is_shared, waits);
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$"""
# The rows are locked in the order of their numbers, so that callers cannot deadlock.
_TAKE_GATES = """
CREATE FUNCTION {schema}.take_gates(numbers bigint[], shared boolean[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE gate record;
BEGIN
    FOR gate IN
        SELECT ((u.number % 1024) + 1024) % 1024 AS number, bool_and(u.shared) AS shared
        FROM unnest(numbers, shared) AS u(number, shared) GROUP BY 1 ORDER BY 1
    LOOP
        IF gate.shared THEN
            PERFORM FROM {schema}.gate_locks g WHERE g.number = gate.number FOR SHARE;
        ELSE
            PERFORM FROM {schema}.gate_locks g WHERE g.number = gate.number FOR UPDATE;
        END IF;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the table gate_locks has no row %', gate.number;
        END IF;
    END LOOP;
    FOR index IN 1 .. cardinality(numbers) LOOP
        PERFORM {schema}.take_old_lock(numbers[index], shared[index], true);
    END LOOP;
END
$$"""
# Column `place` follows the order given. Rows are inserted by id, so that two calls that insert
# the same events cannot deadlock.
_ADD_EVENTS = """
CREATE FUNCTION {schema}.add_events(ids text[], sources text[], sender_ids text[], types text[],
    subjects text[], times timestamptz[], digests text[], documents text[])
RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE known text[]; added bigint;
BEGIN
    WITH given AS MATERIALIZED (
        SELECT u.*, nextval(pg_get_serial_sequence('{literal}.events', 'place')) AS place
        FROM unnest(ids, sources, sender_ids, types, subjects, times, digests, documents)
            AS u(id, source, event_id, type, subject, occurred_at, digest, document)
    ), inserted AS (
        INSERT INTO {schema}.events (id, place, source, event_id, type, subject, occurred_at,
            arrived_at, digest, document)
        OVERRIDING SYSTEM VALUE
        SELECT id, place, source, event_id, type, subject, occurred_at, statement_timestamp(),
            digest, document::jsonb
        FROM given ORDER BY id
        ON CONFLICT (id) DO NOTHING RETURNING id
    )
    SELECT array_agg(g.id) FILTER (WHERE i.id IS NULL), count(i.id) INTO known, added
    FROM given g LEFT JOIN inserted i ON i.id = g.id;
    IF added > 0 THEN
        PERFORM pg_notify('activityctl_work', 'event');
    END IF;
    RETURN known;
END
$$"""
_SAME_EVENTS = """
CREATE FUNCTION {schema}.same_events(ids text[], digests text[])
RETURNS TABLE (id text, digest text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT e.id, e.digest FROM unnest(ids, digests) AS u(id, digest)
    JOIN {schema}.events e ON e.id = u.id AND e.digest = u.digest
$$"""
_KEEP_EVENTS = """
CREATE FUNCTION {schema}.keep_events(ids text[]) RETURNS SETOF text
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.id FROM {schema}.events e WHERE e.id = ANY(ids) FOR KEY SHARE
$$"""


def upgrade() -> None:
    """Apply the migration."""
    for name in _LOCKS:
        op.create_table(
            f"{name}_lock",
            sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
            sa.PrimaryKeyConstraint("id", name=op.f(f"{name}_lock_pkey")),
        )
    op.create_table(
        "gate_locks",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("gate_locks_pkey")),
    )
    op.execute(f"INSERT INTO gate_locks (number) SELECT generate_series(0, {_GATES - 1})")
    _create_functions()


def _create_functions() -> None:
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    literal = schema.replace("'", "''")
    for function in (
        _IS_HELD_BY_WRITER,
        _TAKE_OLD_LOCK,
        _TAKE_LOCK,
        _TAKE_GATES,
        _ADD_EVENTS,
        _SAME_EVENTS,
        _KEEP_EVENTS,
    ):
        op.execute(function.format(schema=schema, literal=literal))
    for signature in (
        "add_events(text[], text[], text[], text[], text[], timestamptz[], text[], text[])",
        "same_events(text[], text[])",
        "keep_events(text[])",
    ):
        op.execute(f"REVOKE ALL ON FUNCTION {schema}.{signature} FROM PUBLIC")
