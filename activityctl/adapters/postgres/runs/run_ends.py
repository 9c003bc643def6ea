"""What the end of a run writes beside its row: the state for the next run, and its dead letter."""

from typing import Final

from activityctl.adapters.postgres.database import Connection, to_jsonb, to_storable_text
from activityctl.domain.runs.run_change import RunChange

# A replay goes on with the state of the run before. If a run that began after that one has
# stored its own state, that is the newer one and stays.
_KEEP_STATE: Final = """
    WITH kept AS (
        UPDATE subscriptions s SET state = %(state)s WHERE s.id = %(id)s
            AND (NOT %(continues)s OR NOT EXISTS (
                SELECT FROM runs o JOIN runs failed ON failed.id = %(replay_of)s
                WHERE o.subscription_id = %(id)s AND o.status = 'succeeded'
                    AND o.created_at > failed.created_at AND o.id <> %(run)s))
        RETURNING s.id)
    INSERT INTO log_entries (subscription_id, run_id, level, message, metadata, created_at)
    SELECT %(id)s, %(run)s, 'warning', 'the state of this replay was not stored, because a run '
        'that began after the replayed one has stored its own', '{}', clock_timestamp()
    WHERE NOT EXISTS (SELECT FROM kept) AND %(continues)s"""
_INSERT_DEAD_LETTER: Final = """
    INSERT INTO dead_letters (id, run_id, subscription_id, reason, created_at)
    VALUES (%(id)s, %(run_id)s, %(subscription_id)s, %(reason)s, %(created_at)s)
    ON CONFLICT DO NOTHING"""


async def write_end(connection: Connection, change: RunChange) -> None:
    """Write the state to keep and the dead letter of the change, if it has them."""
    run = change.run
    if change.keep_state is not None:
        values = {
            "state": to_jsonb(dict(change.keep_state)),
            "id": run.subscription_id,
            "run": run.id,
            "replay_of": run.replay_of,
            "continues": run.replay_of is not None and run.key_run is not None,
        }
        await connection.execute(_KEEP_STATE, values)
    if change.dead_letter is not None:
        letter = change.dead_letter
        await connection.execute(
            _INSERT_DEAD_LETTER,
            {
                "id": letter.id,
                "run_id": letter.run_id,
                "subscription_id": letter.subscription_id,
                "reason": to_storable_text(letter.reason),
                "created_at": letter.created_at,
            },
        )
