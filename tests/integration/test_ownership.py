"""The database of the local daemon belongs to a role that is no superuser."""

import uuid

import psycopg
import pytest

from activityctl import wiring
from activityctl.adapters.postgres.ownership import create_database


async def test_a_database_of_the_superuser_is_converted(servers: dict[str, str]) -> None:
    """Homes of earlier versions did their daily work as superuser."""
    superuser_url, name = servers["superuser_url"], f"old_{uuid.uuid4().hex}"
    server = superuser_url.rsplit("/", 1)[0]
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    wiring.migrate(f"{server}/{name}")
    role = f"{name}_owner"
    for password in ("first", "second"):
        await create_database(superuser_url, name, (role, password))
    address = server.rpartition("@")[2]
    url = f"postgresql://{role}:second@{address}/{name}"
    wiring.migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        rights = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = %s", (role,)
        ).fetchone()
        assert rights == (False, False, False)
        owners = connection.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        assert owners == [(role,)]
        connection.execute("ALTER TABLE runs ADD COLUMN more text")
        connection.execute("CREATE TABLE new (n int)")
        connection.execute("DELETE FROM workers")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY new FROM PROGRAM 'id'")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url.replace("second", "first"))
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        verifier = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
        assert "$1:" in str(connection.execute(verifier, (role,)).fetchone())
        connection.execute(f"DROP DATABASE {name}".encode())
        connection.execute(f"DROP ROLE {role}".encode())


def test_the_daily_role_of_a_new_home_is_no_superuser(servers: dict[str, str]) -> None:
    with psycopg.connect(servers["database_url"]) as connection:
        row = connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False,)
