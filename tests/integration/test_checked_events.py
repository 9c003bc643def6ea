"""The function that stores events refuses what no sender of ours stores."""

import json

import psycopg
import pytest

from activityctl.adapters.postgres.rights import Role
from support.logins import url_as
from support.stored_events import DOCUMENT, add_event


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


FALSE = [
    add_event(source="/other"),
    add_event(type="other"),
    add_event(event_id="other"),
    add_event(subject=None),
    add_event(subject="other"),
    add_event(time=None),
    add_event(id="x"),
    add_event(id="0b6f1d1a-0000-5000-8000-00000000000g"),
    add_event(id="0b6f1d1a-0000-5000-8000-00000000000A"),
    add_event(id="0b6f1d1a0-000-5000-8000-000000000000"),
    add_event(id="0b6f1d1a-0000-5000-8000-0000000-0000"),
    add_event(id="0b6f1d1a-0000-5000-8000-00000000000\n"),
    add_event(id="0b6f1d1a-0000-5000-8000-0000000000000"),
    add_event(digest="x"),
    add_event(digest="F" * 64),
    add_event(digest="f" * 63),
    add_event(digest="f" * 63 + "\n"),
    add_event(digest="f" * 65),
    add_event({**DOCUMENT, "type": 1}, type="1"),
    add_event({**DOCUMENT, "specversion": "2.0"}),
    add_event({"type": "t"}),
    add_event([]),
    add_event({**DOCUMENT, "data": nested(66)}),
    add_event(json.dumps(DOCUMENT).replace('"secret"', "[" * 5000 + "]" * 5000)),
    add_event(json.dumps(DOCUMENT).replace('"secret"', "[" * 90000 + "]" * 90000)),
    add_event(json.dumps(DOCUMENT).replace('"secret"', "1e5000")),
    add_event(json.dumps(DOCUMENT).replace('"secret"', "[-1e5000]")),
    add_event({**DOCUMENT, "data": "x" * 5_000_000}),
    add_event({**DOCUMENT, "source": ""}, source=""),
    add_event({**DOCUMENT, "type": "x" * 1100}, type="x" * 1100),
]


def test_an_emitter_stores_no_columns_that_lie_and_nothing_that_workers_cannot_read(
    database_url: str,
):
    with psycopg.connect(url_as(database_url, Role.EMIT)) as connection:
        for statement in FALSE:
            with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.StatementTooComplex)):
                connection.execute(statement.encode())
            connection.rollback()
        stores_what_the_limits_allow(connection)


def stores_what_the_limits_allow(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    for document in (
        {**DOCUMENT, "data": nested(63)},
        {**DOCUMENT, "data": [10**3999, -(10**3999), 1e-300, 1e308]},
        {**DOCUMENT, "data": None, "own": True},
    ):
        assert connection.execute(add_event(document).encode()).fetchone()
        connection.rollback()
    bare = {name: DOCUMENT[name] for name in ("specversion", "id", "source", "type")}
    call = add_event(bare, subject=None, time=None)
    assert connection.execute(call.encode()).fetchone()
    connection.rollback()
