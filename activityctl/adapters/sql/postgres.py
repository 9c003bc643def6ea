"""Runs statements in Postgres by psycopg: bound parameters, rows one by one."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from activityctl.adapters.sql.rows import RowCollector, check_names, result
from activityctl.domain.bodies.sql_text import Parameter, returns_rows, sql_parts
from activityctl.ports import SqlBounds, SqlCommand, SqlResult

_EXTRA_SECONDS: Final = 1.0
"""The server ends a statement so much later than the client, whose message says more."""
_CHECKS_CLIENTS: Final = 140_000
"""The version since which a server can look whether its client is still there."""
_CANNOT_CHECK: Final = (
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.UndefinedObject,
    psycopg.errors.FeatureNotSupported,
)
"""Its system cannot do so, or it is another database that only speaks the protocol."""
_AS_TEXT: Final = (
    *("date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid", "inet", "cidr"),
    *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
)
"""Types whose text is taken: it can be infinite, or older and later than Python's dates."""
_MOMENT: Final = re.compile(r"(\d{4,})-(\d\d)-(\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(\+00)?")


async def connect(url: str, bounds: SqlBounds) -> "psycopg.AsyncConnection[Any]":
    """Open a connection; the caller closes it. Raises psycopg.Error."""
    return await psycopg.AsyncConnection.connect(
        url,
        connect_timeout=max(int(min(bounds.seconds, 10)), 2),
        application_name="activityctl-task",
        options=_options(url, bounds),
        tcp_user_timeout=15_000,
    )


async def _notice_when_we_are_gone(connection: "psycopg.AsyncConnection[Any]") -> None:
    """Let the server end a statement also if our request to cancel it is lost."""
    if connection.info.server_version < _CHECKS_CLIENTS:
        return
    await connection.set_autocommit(True)
    with suppress(*_CANNOT_CHECK):
        await connection.execute("SET client_connection_check_interval = '2s'")
    await connection.set_autocommit(False)


async def run(
    connection: "psycopg.AsyncConnection[Any]", commands: Sequence[SqlCommand], bounds: SqlBounds
) -> list[SqlResult]:
    """Run all commands in one transaction. Raises psycopg.Error or TaskError."""
    await _notice_when_we_are_gone(connection)
    if bounds.read_only:
        await connection.set_read_only(True)
    for name in _AS_TEXT:
        connection.adapters.register_loader(name, _TextLoader)
    collector = RowCollector(bounds)
    async with connection.transaction():
        return [await _run(connection, command, collector) for command in commands]


async def _run(
    connection: "psycopg.AsyncConnection[Any]", command: SqlCommand, collector: RowCollector
) -> SqlResult:
    query, values = _query(command)
    async with connection.cursor() as cursor:
        if not returns_rows(command.statement):
            await cursor.execute(query, values, prepare=True)
            if cursor.description is None:
                return result(None, cursor.rowcount)
            names = [column.name for column in cursor.description]
            check_names(names)
            rows = [collector.named(names, row) async for row in cursor]
            return result(rows, len(rows))
        rows, names = [], []
        try:
            async for row in cursor.stream(query, values):
                if not names:
                    names = [column.name for column in cursor.description or ()]
                    check_names(names)
                rows.append(collector.named(names, row))
        except psycopg.ProgrammingError as error:
            if error.sqlstate is not None or "didn't produce a result" not in str(error):
                raise
            return result(None, None)
        return result(rows, len(rows))


def _query(command: SqlCommand) -> tuple[sql.SQL, Mapping[str, Any]]:
    text, values = "", {}
    for part in sql_parts(command.statement):
        if isinstance(part, Parameter):
            text += f"%({part.name})s"
            values[part.name] = _adapted(command.parameters[part.name])
        else:
            text += part.replace("%", "%%")
    return sql.SQL(text), values


def _adapted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Jsonb(value, dumps=json.dumps)
    if isinstance(value, list) and any(isinstance(item, list | Mapping) for item in value):
        return Jsonb(value, dumps=json.dumps)
    return value


def _options(url: str, bounds: SqlBounds) -> str:
    """Return the settings of the session; those of the URL come first, so ours win."""
    own = {
        "statement_timeout": str(round((bounds.seconds + _EXTRA_SECONDS) * 1000)),
        "idle_in_transaction_session_timeout": "60000",
        "timezone": "UTC",
        "datestyle": "ISO",
        "intervalstyle": "iso_8601",
        **({"default_transaction_read_only": "on"} if bounds.read_only else {}),
    }
    given = psycopg.conninfo.conninfo_to_dict(url).get("options") or ""
    return " ".join([str(given), *(f"-c {name}={value}" for name, value in own.items())]).strip()


class _TextLoader(psycopg.adapt.Loader):
    """Loads the text of a value; moments are written as in JSON elsewhere."""

    def load(self, data: Any) -> str:
        """Return the text."""
        text = bytes(data).decode()
        if found := _MOMENT.fullmatch(text):
            zone = "Z" if found[5] else ""
            return f"{found[1]}-{found[2]}-{found[3]}T{found[4]}{zone}"
        return text
