"""What a real Postgres answers when it cannot do something: it is told as what it is."""

import psycopg
import pytest
from psycopg import sql

from activityctl.adapters.postgres.database import Database
from activityctl.errors import (
    ActivityctlError,
    ConflictError,
    NotAllowedError,
    TooSlowError,
    UnreachableError,
)
from support.logins import STRANGER, url_as

RAISES = "DO $$ BEGIN RAISE EXCEPTION 'it said so' USING ERRCODE = '{}'; END $$"
FAULTS = {
    "53000": (UnreachableError, "Postgres has reached a limit of its settings: it said so"),
    "53100": (UnreachableError, "the disk of Postgres is full: it said so"),
    "53200": (UnreachableError, "the server of Postgres has too little memory: it said so"),
    "53300": (UnreachableError, "Postgres has no connection left for this login: it said so"),
    "53400": (UnreachableError, "Postgres has reached a limit of its settings: it said so"),
    "40001": (UnreachableError, "Postgres ended the transaction, because another changed"),
    "40P01": (UnreachableError, "Postgres ended the transaction, because it and another waited"),
    "55006": (UnreachableError, "Postgres answers with an error: it said so"),
    "55P03": (ConflictError, "another process is changing this object"),
    "57014": (UnreachableError, "the statement was cancelled on the server of Postgres: it said"),
    "57P01": (UnreachableError, "Postgres does not answer: it said so"),
    "58030": (UnreachableError, "the server of Postgres cannot use its own files: it said so"),
    "25006": (NotAllowedError, "Postgres takes no changes: it said so"),
}


async def test_each_fault_of_the_server_is_told_as_what_it_is(database_url: str):
    database = await Database.connect(database_url)
    told = {}
    try:
        for state in FAULTS:
            with pytest.raises(ActivityctlError) as raised:
                await database.fetch(RAISES.format(state))
            told[state] = raised.value
    finally:
        await database.close()
    wrong = {
        state: repr(error)
        for state, error in told.items()
        if not isinstance(error, FAULTS[state][0]) or FAULTS[state][1] not in error.message
    }
    assert not wrong


async def test_a_statement_that_takes_too_long_is_told_as_such(database_url: str):
    database = await Database.connect(database_url)
    try:
        await database.fetch("SET statement_timeout = 20")
        with pytest.raises(TooSlowError, match=r"longer than it may$"):
            await database.fetch("SELECT pg_sleep(60)")
        assert await database.fetch("SELECT 1 AS n") == [{"n": 1}]
    finally:
        await database.close()


async def test_a_login_without_a_free_connection_is_told_as_such(
    database_url: str, servers: dict[str, str]
):
    name = sql.Identifier(f"login_{STRANGER}")
    limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
    with psycopg.connect(servers["superuser_url"], autocommit=True) as connection:
        connection.execute(limit.format(name, sql.Literal(0)))
        try:
            database = await Database.connect(url_as(database_url, STRANGER))
            with pytest.raises(UnreachableError) as raised:
                await database.fetch("SELECT 1")
        finally:
            connection.execute(limit.format(name, sql.Literal(-1)))
    message = "Postgres has no connection left for this login: too many connections for role"
    assert raised.value.message.startswith(message)
