"""Logins of the test server: one for each role of the database, and one without any right."""

from typing import Final

import psycopg
from psycopg import sql

from activityctl.adapters.postgres.rights import Role

STRANGER: Final = "stranger"
EVERY_ROLE: Final = "every_role"
CHEAP_PASSWORDS: Final = "SET scram_iterations = 1"
"""With the usual 4096, each of the thousands of connections takes 2 ms of CPU more."""
_PASSWORD: Final = "secret"  # of a server that lives as long as the tests


def create_logins(database_url: str) -> None:
    """Create the logins; the group roles exist."""
    groups = {role.value: [f"activityctl_{role}"] for role in Role}
    groups |= {STRANGER: [], EVERY_ROLE: [f"activityctl_{role}" for role in Role]}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(CHEAP_PASSWORDS)
        for name, roles in groups.items():
            create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(
                create.format(sql.Identifier(f"login_{name}"), sql.Literal(_PASSWORD))
            )
            for role in roles:
                grant = sql.SQL("GRANT {} TO {}")
                connection.execute(
                    grant.format(sql.Identifier(role), sql.Identifier(f"login_{name}"))
                )


def url_as(database_url: str, login: str) -> str:
    """Return the URL of the database for the login of a role."""
    scheme, _, rest = database_url.partition("://")
    return f"{scheme}://login_{login}:{_PASSWORD}@{rest.rpartition('@')[2]}"
