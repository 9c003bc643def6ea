"""Let the function that stores events check their ids and digests in a tenth of the time.

A regular expression with a fixed number of repeats takes Postgres ten times as long as one that
looks for a wrong character.
"""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0044"
branch_labels = None
depends_on = None

_ADD_EVENTS = """
CREATE OR REPLACE FUNCTION {schema}.add_events(ids text[], sources text[], sender_ids text[],
    types text[], subjects text[], times timestamptz[], digests text[], documents text[])
RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE known text[]; added bigint; false_one text;
BEGIN
    WITH given AS MATERIALIZED (
        SELECT u.id, u.source, u.event_id, u.type, u.subject, u.occurred_at, u.digest,
            u.document::jsonb AS document, octet_length(u.document) AS bytes,
            nextval(pg_get_serial_sequence('{literal}.events', 'place')) AS place
        FROM unnest(ids, sources, sender_ids, types, subjects, times, digests, documents)
            AS u(id, source, event_id, type, subject, occurred_at, digest, document)
    ), inserted AS (
        INSERT INTO {schema}.events (id, place, source, event_id, type, subject, occurred_at,
            arrived_at, digest, document)
        OVERRIDING SYSTEM VALUE
        SELECT id, place, source, event_id, type, subject, occurred_at, statement_timestamp(),
            digest, document
        FROM given ORDER BY id
        ON CONFLICT (id) DO NOTHING RETURNING id
    )
    SELECT array_agg(g.id) FILTER (WHERE i.id IS NULL), count(i.id),
        min(left(g.id, 100)) FILTER (WHERE (
            octet_length(g.id) = 36 AND g.id LIKE '________-____-____-____-____________'
            AND octet_length(replace(g.id, '-', '')) = 32 AND g.id !~ '[^0-9a-f-]'
            AND octet_length(g.digest) = 64 AND g.digest !~ '[^0-9a-f]'
            AND g.bytes <= 4194304
            AND jsonb_typeof(g.document) = 'object'
            AND g.document -> 'specversion' = '"1.0"'
            AND g.document -> 'id' = to_jsonb(g.event_id)
            AND g.document -> 'source' = to_jsonb(g.source)
            AND g.document -> 'type' = to_jsonb(g.type)
            AND g.document -> 'subject' IS NOT DISTINCT FROM to_jsonb(g.subject)
            AND jsonb_exists(g.document, 'time') = (g.occurred_at IS NOT NULL)
            AND octet_length(g.event_id) BETWEEN 1 AND 1024
            AND octet_length(g.source) BETWEEN 1 AND 1024
            AND octet_length(g.type) BETWEEN 1 AND 1024
            AND NOT jsonb_path_exists(g.document, '$.**{{66}}')
            AND NOT jsonb_path_exists(g.document,
                '$.** ? (@.type() == "number" && (@ >= 1e4200 || @ <= -1e4200))')
        ) IS NOT TRUE)
    INTO known, added, false_one
    FROM given g LEFT JOIN inserted i ON i.id = g.id;
    IF false_one IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'the columns of event '
            || false_one || ' do not say what its document says, or it breaks the limits of events';
    END IF;
    IF added > 0 THEN
        PERFORM pg_notify('activityctl_work', 'event');
    END IF;
    RETURN known;
END
$$"""


def upgrade() -> None:
    """Apply the migration. The rights to the function stay as they are."""
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    literal = schema.replace("'", "''")
    op.execute(_ADD_EVENTS.format(schema=schema, literal=literal))
