"""The SQL that tells whether a dead letter is open: by the last action, and by what came of it."""

from typing import Final

from activityctl.domain.runs.dead_letter import GIVEN_BACK

LAST_ACTION: Final = """
    LEFT JOIN LATERAL (SELECT x.* FROM letter_actions x WHERE x.letter_id = d.id
        ORDER BY x.number DESC LIMIT 1) a ON true
    LEFT JOIN runs ar ON ar.id = a.run_id"""
LETTER_STATUS: Final = f"""CASE WHEN a.action IS NULL
    OR a.action = 'retried'
        AND ar.status IN ({", ".join(f"'{status}'" for status in sorted(GIVEN_BACK))})
    THEN 'open' ELSE a.action END"""
OPEN_LETTERS: Final = f"""
    SELECT d.subscription_id, count(*) AS count FROM dead_letters d
    LEFT JOIN (SELECT DISTINCT ON (letter_id) * FROM letter_actions
        ORDER BY letter_id, number DESC) a ON a.letter_id = d.id
    LEFT JOIN runs ar ON ar.id = a.run_id
    WHERE {LETTER_STATUS} = 'open' %s GROUP BY d.subscription_id"""
"""The number of open letters of each subscription that has some, with place for a condition.

It reads the actions once, not for each letter.
"""
