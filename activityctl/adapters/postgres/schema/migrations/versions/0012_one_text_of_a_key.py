"""Bring the keys of open gatherings and of held places to the rule that a value has one text.

Until now 7.0 was the key `7.0`, now it is `7`; and a map within other text had its keys in the
order of the database, now they are sorted. What waits under an old key would not be found.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from activityctl.domain.values.ids import gathering_id

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_OLD_FORMS: Final = r"[0-9]\.0([^0-9.]|$)|e\+|[{\[]"
_WHOLE_NUMBER: Final = re.compile(r"(?<![0-9.+])-?[0-9]+(?:\.0|(?:\.[0-9]+)?e\+[0-9]+)(?![0-9.e])")
_CUT_LENGTH: Final = 200
_GATHERINGS: Final = sa.text("""
    SELECT g.id, g.subscription_id, g.trigger, g.key, e.document, s.params, s.triggers, v.spec
    FROM gatherings g
    JOIN subscriptions s ON s.id = g.subscription_id
    JOIN definitions d ON d.name = s.definition
    JOIN revisions v ON v.id = d.revision_id
    LEFT JOIN events e ON e.id = g.state -> 'events' -> 0 ->> 0
    WHERE g.key ~ :forms""")
_MOVE_GATHERING: Final = sa.text("""
    UPDATE gatherings SET id = :new_id, key = :key WHERE id = :id
    AND NOT EXISTS (SELECT FROM gatherings WHERE id = :new_id)""")
# A throttle counts the runs of its last `per`.
_RUNS: Final = sa.text("""
    SELECT r.id, r.concurrency_key, r.throttle_key, r.events, r.params, r.payload,
        r.context, r.state, v.spec
    FROM runs r JOIN revisions v ON v.id = r.revision_id
    WHERE (r.ended_at IS NULL AND r.concurrency_key ~ :forms)
        OR (r.throttle_key ~ :forms
            AND (r.ended_at IS NULL OR r.let_in_at > now() - make_interval(days => 31)))
    """)
_MOVE_RUN: Final = sa.text(
    "UPDATE runs SET concurrency_key = :concurrency, throttle_key = :throttle WHERE id = :id"
)


def upgrade() -> None:
    """Apply the migration."""
    connection = op.get_bind()
    for row in connection.execute(_GATHERINGS, {"forms": _OLD_FORMS}).mappings().all():
        key = new_key(
            row["key"], [row[name] for name in ("document", "params", "triggers", "spec")]
        )
        if key != row["key"]:
            new_id = gathering_id(row["subscription_id"], row["trigger"], key)
            connection.execute(_MOVE_GATHERING, {"id": row["id"], "new_id": new_id, "key": key})
    for row in connection.execute(_RUNS, {"forms": _OLD_FORMS}).mappings().all():
        sources = [
            row[name] for name in ("events", "params", "payload", "context", "state", "spec")
        ]
        keys = {
            name: value and new_key(value, sources)
            for name, value in (
                ("concurrency", row["concurrency_key"]),
                ("throttle", row["throttle_key"]),
            )
        }
        if keys != {"concurrency": row["concurrency_key"], "throttle": row["throttle_key"]}:
            connection.execute(_MOVE_RUN, {"id": row["id"], **keys})


def new_key(key: str, sources: Iterable[Any]) -> str:
    """Return the key as it is written now; `sources` are the values that it can come from.

    A part of the key that is in a string of the key's sources was not a number or a map.
    A gathering whose key exists in both forms keeps its old key, and ends by its own deadline.
    """
    if len(key) >= _CUT_LENGTH:
        return key
    texts = [text for text in _strings(list(sources)) if text in key or "${" in text]

    def number(found: re.Match[str]) -> str:
        return found[0] if any(found[0] in text for text in texts) else _digits(found[0])

    result, at = "", 0
    for start, end, value in _containers(key):
        if not any(key[start:end] in text for text in texts):
            result += _WHOLE_NUMBER.sub(number, key[at:start]) + _canonical(value)
            at = end
    return result + _WHOLE_NUMBER.sub(number, key[at:])


def _containers(key: str) -> Iterator[tuple[int, int, Any]]:
    """Yield where a list or map in compact JSON starts and ends in the key, and its value."""
    at = 0
    while found := re.compile(r"[{\[]").search(key, at):
        start = found.start()
        at = start + 1
        try:
            value, end = json.JSONDecoder().raw_decode(key, start)
        except ValueError:
            continue
        if json.dumps(value, ensure_ascii=False, separators=(",", ":")) == key[start:end]:
            yield start, end, value
            at = end


def _digits(text: str) -> str:
    number = float(text)
    return str(int(number)) if number.is_integer() else text


def _canonical(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key != "specversion":  # of an event; it is always 1.0
                yield from (key, *_strings(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
