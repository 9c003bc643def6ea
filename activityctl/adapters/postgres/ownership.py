"""Gives our database in a server of our own to a role that is no superuser."""

from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from activityctl.adapters.postgres.connection_url import secured

_HAS_ROLE: LiteralString = "SELECT FROM pg_roles WHERE rolname = %s"
_OWNER_OF_DATABASE: LiteralString = """
    SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = %s"""
# Indexes, sequences of identity columns and constraints follow their table.
_TABLES_OF_OTHERS: LiteralString = """
    SELECT format('%%I.%%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'
      AND c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = %s)"""

Connection = psycopg.AsyncConnection[tuple[object, ...]]


async def create_database(superuser_url: str, database: str, owner: tuple[str, str]) -> None:
    """Create the database and its owner, given as name and password, or convert what exists.

    The owner can log in, and has no other rights. A second call changes nothing but the password.
    The password must be a long random one: it is hashed once, not 4,096 times as a weak one has to
    be, which takes 4 ms of CPU less at each connection.
    """
    role, password = owner
    async with await _connect(superuser_url) as connection:
        await _write_role(connection, role, password)
        cursor = await connection.execute(_OWNER_OF_DATABASE, (database,))
        row = await cursor.fetchone()
        names = {"database": sql.Identifier(database), "role": sql.Identifier(role)}
        if row is None:
            command = sql.SQL("CREATE DATABASE {database} OWNER {role}")
            await connection.execute(command.format(**names))
            return
        if row[0] == role:
            return
    async with await _connect(superuser_url, database) as inside, inside.transaction():
        await _give_tables(inside, role)
        await inside.execute(sql.SQL("ALTER DATABASE {database} OWNER TO {role}").format(**names))


async def _write_role(connection: Connection, role: str, password: str) -> None:
    cursor = await connection.execute(_HAS_ROLE, (role,))
    verb = "CREATE" if await cursor.fetchone() is None else "ALTER"
    await connection.execute("SET scram_iterations = 1")  # libpq then hashes it as often
    # The server gets only a verifier, so the password is in no log and no statistics.
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    )
    command = sql.SQL("{verb} ROLE {role} LOGIN PASSWORD {verifier}").format(
        verb=sql.SQL(verb), role=sql.Identifier(role), verifier=sql.Literal(verifier.decode())
    )
    await connection.execute(command)


async def _give_tables(connection: Connection, role: str) -> None:
    """Make the role the owner of every table that another role made."""
    cursor = await connection.execute(_TABLES_OF_OTHERS, (role,))
    for (name,) in await cursor.fetchall():
        await connection.execute(
            f"ALTER TABLE {name} OWNER TO {sql.Identifier(role).as_string()}".encode()
        )


async def _connect(superuser_url: str, database: str | None = None) -> Connection:
    """Connect to the database of the URL, or to another one of the same server."""
    other = {} if database is None else {"dbname": database}
    conninfo = make_conninfo(secured(superuser_url), sslmode="disable", **other)
    return await psycopg.AsyncConnection.connect(conninfo, autocommit=True, connect_timeout=3)
