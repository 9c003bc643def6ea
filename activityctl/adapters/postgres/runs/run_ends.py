"""What the end of a run writes beside its row: the state for the next run, and dead letters."""

from typing import Final

from activityctl.adapters.postgres.database import Connection, to_jsonb, to_storable_text
from activityctl.adapters.postgres.letter_status import LAST_ACTION, LETTER_STATUS
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.domain.runs.dead_letter import CLOSED_BY_REPLAY, PROGRAM
from activityctl.domain.runs.letter_log import closed_entry
from activityctl.domain.runs.run import Run
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

# As `repeated_runs` of the domain: up to the first run of the firing, and down to its replays.
_CLOSE_LETTERS: Final = f"""
    WITH RECURSIVE before(id) AS (
        SELECT %(replay_of)s::text
        UNION SELECT r.replay_of FROM runs r JOIN before b ON r.id = b.id
        WHERE r.replay_of IS NOT NULL),
    repeated(id) AS (
        SELECT id FROM before
        UNION SELECT r.id FROM runs r JOIN repeated p ON r.replay_of = p.id WHERE r.id <> %(run)s),
    closed AS (
        INSERT INTO letter_actions (letter_id, number, action, actor, reason, run_id,
            new_revision, new_keys, created_at)
        SELECT d.id, coalesce(a.number, 0) + 1, 'replayed', %(actor)s, %(reason)s, %(run)s,
            false, false, %(now)s
        FROM dead_letters d JOIN runs r ON r.id = d.run_id {LAST_ACTION}
        WHERE d.run_id IN (SELECT id FROM repeated) AND r.created_at <= %(created)s
            AND {LETTER_STATUS} = 'open'
        ORDER BY d.id ON CONFLICT DO NOTHING RETURNING letter_id)
    SELECT d.subscription_id, d.run_id FROM dead_letters d JOIN closed c ON c.letter_id = d.id"""


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
    if change.closes_letters:
        await _close_letters(connection, run)


async def _close_letters(connection: Connection, run: Run) -> None:
    """Close the open letters of the runs that this replay repeats."""
    assert run.ended_at is not None  # noqa: S101  # it has succeeded
    values = {
        "run": run.id,
        "replay_of": run.replay_of,
        "created": run.created_at,
        "actor": PROGRAM,
        "reason": CLOSED_BY_REPLAY,
        "now": run.ended_at,
    }
    cursor = await connection.execute(_CLOSE_LETTERS.encode(), values)
    rows = await cursor.fetchall()
    entries = [
        closed_entry(row["subscription_id"], row["run_id"], run.id, run.ended_at) for row in rows
    ]
    await insert_log_entries(connection, entries)
