"""The `sql` executor and context source on real databases: Postgres, and others by SQLAlchemy."""

import asyncio
import base64
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from pydantic import ValidationError

from activityctl.adapters.sql.client import DatabaseClient
from activityctl.domain.values.model import WRITTEN
from activityctl.domain.values.secret_hosts import connection_host
from activityctl.errors import TaskError
from activityctl.executors.sql import SqlBody, SqlExecutor, SqlQueryBody, SqlSource
from activityctl.ports import SourceCall
from activityctl.steps.limited import parse_body
from support.commands import a_call
from support.outgoing import Outgoing
from support.runs import run_of

CONNECTION = {"secretRef": "db"}
SIMPLE = {"connection": CONNECTION, "statement": "SELECT 1 AS one"}


def call_with(url: str, seconds: float = 60.0) -> Any:
    async def secret(value: object, *, host: object) -> str:
        assert str(value) == "secret db"
        assert host is connection_host
        return url

    return replace(a_call(seconds), secret=secret)


async def run(url: str, *, seconds: float = 60.0, **body: Any) -> dict[str, Any]:
    executor, outgoing = SqlExecutor(DatabaseClient()), Outgoing()
    parsed = parse_body(executor, {"connection": CONNECTION, **body})
    call = replace(call_with(url, seconds), outgoing=outgoing)
    output = (await executor.execute(parsed, call)).output
    assert outgoing.ended == [f"SQL {connection_host(url) or 'a database'}"]
    assert output.pop("durationMs") >= 0
    return output


async def failing(url: str, *, seconds: float = 60.0, **body: Any) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await run(url, seconds=seconds, **body)
    return caught.value


@pytest.fixture(params=["postgresql://", "postgresql+psycopg://", "sqlite://"])
def url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> str:
    if request.param == "sqlite://":
        return f"sqlite:///{tmp_path}/data.sqlite"
    return database_url.replace("postgresql://", request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def table(url: str) -> str:
    await run(url, statement="CREATE TABLE users_orders (id integer PRIMARY KEY, note text)")
    return url


async def unused(*_arguments: object) -> Any:
    raise AssertionError


async def rows(url: str) -> Any:
    found = await run(url, statement="SELECT id, note FROM users_orders ORDER BY id")
    return [(row["id"], row["note"]) for row in found["rows"]]


# ---- on every database ------------------------------------------------------------------------


async def test_rows_and_counts_come_back(table: str):
    statement = "INSERT INTO users_orders VALUES (:id, :note)"
    output = await run(table, statement=statement, parameters={"id": 1, "note": "a ':x' %"})
    assert output == {"rows": None, "rowCount": 1}
    output = await run(
        table,
        statement="SELECT id, note, ':id' AS text FROM users_orders WHERE id = :id -- :no\n",
        parameters={"id": 1},
    )
    assert output == {"rows": [{"id": 1, "note": "a ':x' %", "text": ":id"}], "rowCount": 1}
    none = await run(table, statement="SELECT id FROM users_orders WHERE id > 1")
    assert none == {"rows": [], "rowCount": 0}


async def test_a_value_is_never_sql(table: str):
    evil = "x'); DROP TABLE users_orders; --"
    statement = "INSERT INTO users_orders VALUES (1, :note)"
    await run(table, statement=statement, parameters={"note": evil})
    assert await rows(table) == [(1, evil)]


async def test_statements_are_one_transaction(table: str):
    insert = "INSERT INTO users_orders VALUES (:id, :note)"
    both = [
        {"statement": insert, "parameters": {"id": 1, "note": None}},
        {"statement": insert, "parameters": {"id": 1, "note": "again"}},
    ]
    error = await failing(table, statements=both)
    assert (error.task_code, error.may_retry) == ("sql_error", False)
    assert await rows(table) == []
    both[1]["parameters"] = {"id": 2, "note": "b"}
    output = await run(table, statements=[*both, {"statement": "SELECT 1 AS one"}])
    assert output["rows"] == [{"one": 1}]
    assert [found["rowCount"] for found in output["results"]] == [1, 1, 1]
    assert await rows(table) == [(1, None), (2, "b")]


async def test_the_idempotency_key_is_a_parameter(table: str):
    statement = "INSERT INTO users_orders VALUES (7, :idempotency_key) ON CONFLICT (id) DO NOTHING"
    assert (await run(table, statement=statement))["rowCount"] == 1
    assert (await run(table, statement=statement))["rowCount"] == 0
    assert await rows(table) == [(7, "key-1")]


async def test_too_large_results_fail_and_change_nothing(table: str):
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    error = await failing(
        table,
        statements=[
            {"statement": "INSERT INTO users_orders VALUES (1, 'x')"},
            {"statement": many.format(10_000) + "SELECT i FROM n"},
        ],
    )
    assert (error.task_code, error.may_retry) == ("result_too_large", False)
    assert "more than 1,000 rows (maxRows)" in str(error)
    assert await rows(table) == []
    error = await failing(
        table, statement=many.format(5) + "SELECT i, :text AS text FROM n",
        parameters={"text": "x" * 1000}, maxBytes="4KiB",
    )  # fmt: skip
    assert "more than 4KiB of rows (maxBytes)" in str(error)


async def test_a_source_reads_and_the_database_refuses_changes(table: str):
    await run(table, statement="INSERT INTO users_orders VALUES (1, 'a')")
    source = SqlSource(DatabaseClient())
    begun = run_of(datetime(2026, 1, 1, tzinfo=UTC))
    call = SourceCall(begun, "known", 1, 10.0, unused, call_with(table).secret)

    async def look_up(statement: str) -> Any:
        body = SqlQueryBody.model_validate({"connection": CONNECTION, "statement": statement})
        return await source.resolve(body, call)

    assert await look_up("SELECT note FROM users_orders") == [{"note": "a"}]
    with pytest.raises(TaskError, match=r"(?i)read.?only"):
        await look_up("DELETE FROM users_orders")
    assert await rows(table) == [(1, "a")]


async def test_a_slow_statement_ends_with_its_attempt(url: str):
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    error = await failing(url, statement=slow, seconds=2.0)
    assert (error.task_code, error.may_retry) == ("timeout", True)
    assert "did not end within 2 s" in str(error)


async def test_two_columns_of_one_name_are_an_error(url: str):
    error = await failing(url, statement="SELECT 1 AS a, 2 AS a")
    assert "two columns are named 'a'" in str(error)


# ---- Postgres ---------------------------------------------------------------------------------


async def test_postgres_values_become_json(database_url: str):
    statement = """SELECT 12.50::numeric AS price, 12345678901234567890.5::numeric AS wide,
        'NaN'::numeric AS nan, 'Infinity'::float8 AS inf, 9223372036854775807 AS big,
        '2026-05-01'::date AS day, 'infinity'::date AS never, '0044-03-15 BC'::date AS caesar,
        '2026-05-01 12:00:00.5+02'::timestamptz AS moment, '2026-05-01 12:00'::timestamp AS plain,
        'infinity'::timestamptz AS forever, '12:30'::time AS clock,
        interval '1 day 2 hours' AS long,
        '00000000-0000-0000-0000-000000000001'::uuid AS id, '{"a": [1, null]}'::jsonb AS doc,
        '\\xdeadbeef'::bytea AS raw, ARRAY[1, NULL, 3] AS list, ARRAY['a', 'b'] AS texts,
        ARRAY['2026-05-01'::date] AS days, '[1,5)'::int4range AS span, '10.0.0.1'::inet AS ip,
        true AS yes, NULL AS nothing, 'ä' AS text, '(1,2)'::point AS point"""
    (row,) = (await run(database_url, statement=statement))["rows"]
    assert row == {
        "price": 12.5, "wide": "12345678901234567890.5", "nan": "NaN", "inf": "Infinity",
        "big": 2**63 - 1, "day": "2026-05-01", "never": "infinity", "caesar": "0044-03-15 BC",
        "moment": "2026-05-01T10:00:00.5Z", "plain": "2026-05-01T12:00:00", "forever": "infinity",
        "clock": "12:30:00", "long": "P1DT2H", "id": "00000000-0000-0000-0000-000000000001",
        "doc": {"a": [1, None]}, "raw": base64.b64encode(b"\xde\xad\xbe\xef").decode(),
        "list": [1, None, 3], "texts": ["a", "b"], "days": ["2026-05-01"], "span": "[1,5)",
        "ip": "10.0.0.1", "yes": True, "nothing": None, "text": "ä", "point": "(1,2)",
    }  # fmt: skip


async def test_postgres_parameters_have_the_type_of_their_place(database_url: str):
    statement = """SELECT :day::date + 1 AS day, :doc::jsonb -> 'a' AS a, :ids::int[] AS ids,
        :amount::numeric AS amount, :flag::boolean AS flag, :none::text AS none,
        :docs::jsonb AS docs, (ARRAY[1, 2, 3])[1:2] AS slice, $$ :x $$ AS quoted"""
    parameters = {
        "day": "2026-05-01", "doc": {"a": 1}, "ids": [1, 2], "amount": "1.25", "flag": True,
        "none": None, "docs": [{"b": 2}],
    }  # fmt: skip
    (row,) = (await run(database_url, statement=statement, parameters=parameters))["rows"]
    assert row == {
        "day": "2026-05-02", "a": 1, "ids": [1, 2], "amount": 1.25, "flag": True, "none": None,
        "docs": [{"b": 2}], "slice": [1, 2], "quoted": " :x ",
    }  # fmt: skip


async def test_only_one_command_stands_in_a_statement(database_url: str):
    error = await failing(database_url, statement="SELECT 1; SELECT 2")
    assert "cannot insert multiple commands" in str(error)
    error = await failing(database_url, statement="CREATE TABLE a (); DROP TABLE a")
    assert "cannot insert multiple commands" in str(error)


async def test_errors_name_their_sqlstate_and_whether_to_retry(database_url: str):
    error = await failing(database_url, statement="SELECT * FROM nothing_there")
    assert (error.task_code, error.may_retry) == ("sql_error", False)
    assert str(error) == 'relation "nothing_there" does not exist (SQLSTATE 42P01)'
    raising = "DO $x$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $x$"
    assert (await failing(database_url, statement=raising)).may_retry
    error = await failing("postgresql://nobody@127.0.0.1:1/x", statement="SELECT 1")
    assert (error.task_code, error.may_retry) == ("unreachable", True)
    assert (await failing("nonsense", statement="SELECT 1")).task_code == "bad_input"
    error = await failing("oracle://h/x", statement="SELECT 1")
    assert error.task_code == "not_installed"


async def _connections(url: str, *, running: str = "") -> int:
    """Count the attempts' connections that run a statement with this text, or do anything."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'activityctl-task'"
        " AND datname = current_database() AND (%s = '' OR state = 'active' AND query LIKE %s)"
    )
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        found = await (await connection.execute(query, (running, f"%{running}%"))).fetchone()
    return int(found[0]) if found else 0


async def _cancelled(url: str, *, running: str = "") -> None:
    """Cancel an attempt that would take a minute, and wait until the server knows."""
    attempt = asyncio.ensure_future(run(url, statement="SELECT pg_sleep(60)"))
    async with asyncio.timeout(50):
        while not await _connections(url, running=running):
            await asyncio.sleep(0)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        while await _connections(url):
            await asyncio.sleep(0.05)


async def test_a_cancelled_attempt_ends_the_statement_on_the_server(database_url: str):
    await _cancelled(database_url, running="pg_sleep")


async def test_an_attempt_that_is_cancelled_while_it_connects_leaves_no_connection(
    database_url: str,
):
    for _ in range(10):
        await _cancelled(database_url)


async def test_a_statement_ends_also_if_the_request_to_cancel_it_is_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    async def lose(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("the connection was cut")

    monkeypatch.setattr(psycopg.AsyncConnection, "cancel_safe", lose)
    await _cancelled(database_url, running="pg_sleep")


async def test_a_server_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://app@127.0.0.1:{server.getsockname()[1]}/x?sslmode=disable"
        async with asyncio.timeout(60):
            error = await failing(url, statement="SELECT 1", seconds=0.5)
    assert error.task_code in {"timeout", "unreachable"}


# ---- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"statement": "SELECT 1"},
        {"connection": "postgresql://h/x", "statement": "SELECT 1"},
        {"connection": CONNECTION},
        {"connection": CONNECTION, "statement": "SELECT 1", "statements": [SIMPLE]},
        {**SIMPLE, "statement": ""},
        {**SIMPLE, "statement": "SELECT :missing"},
        {**SIMPLE, "parameters": {"a b": 1}},
        {**SIMPLE, "parameters": {"idempotency_key": 1}},
        {**SIMPLE, "maxRows": 0},
    ],
)
async def test_a_bad_body_is_bad_input(body: dict[str, Any]):
    with pytest.raises(TaskError) as caught:
        parse_body(SqlExecutor(DatabaseClient()), body)
    assert caught.value.task_code == "bad_input"


def test_a_parameter_that_is_not_used_is_an_error_in_a_file():
    with pytest.raises(ValidationError, match="does not use the parameter b; write :b"):
        SqlBody.model_validate({**SIMPLE, "parameters": {"b": 1}}, context=WRITTEN)
