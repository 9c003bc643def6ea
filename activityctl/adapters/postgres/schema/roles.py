"""The SQL that creates the group roles of a database and gives them the rights of `rights`."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from activityctl.adapters.postgres.rights import FUNCTIONS, TABLES, Rights, Role
from activityctl.errors import ConflictError, InvalidInputError

DEFAULT_PREFIX: Final = "activityctl"
_FIRST_ROLES: Final = (Role.READ, Role.EMIT, Role.APPLY, Role.WORKER)
"""The roles that every version has created; `plan` came later."""
_PREFIX: Final = re.compile("[a-z][a-z0-9_]{0,47}")

SELECT_SCHEMA: Final = "SELECT current_schema() AS schema"
SELECT_CLASHES: Final = """
    SELECT rolname FROM pg_roles
    WHERE rolname = ANY(%s) AND (rolcanlogin OR rolsuper) ORDER BY rolname"""
# The roles of this database are those that may read the version of its schema.
SELECT_GRANTEES: Final = """
    SELECT r.rolname FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
    JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.oid = to_regclass(quote_ident(current_schema()) || '.alembic_version')"""


def role_names(prefix: str) -> Mapping[Role, str]:
    """Return the names of the roles. Raises InvalidInputError for a prefix that is no name."""
    if not _PREFIX.fullmatch(prefix):
        raise InvalidInputError(
            f'"{prefix}" cannot be the prefix of role names',
            hint="use up to 48 of a-z, 0-9 and _, and begin with a letter",
        )
    return {role: f"{prefix}_{role}" for role in Role}


def known_prefixes(grantees: Iterable[str]) -> list[str]:
    """Return the prefixes whose roles, at least those of the first version, are among these."""
    names = set(grantees)
    first = f"_{Role.READ}"
    prefixes = {name.removesuffix(first) for name in names if name.endswith(first)}
    return sorted(
        prefix
        for prefix in prefixes
        if _PREFIX.fullmatch(prefix)
        and names.issuperset(f"{prefix}_{role}" for role in _FIRST_ROLES)
    )


def refuse_clashes(clashes: Iterable[str]) -> None:
    """Raise ConflictError if roles of these names exist that are no group roles of ours."""
    if names := ", ".join(clashes):
        raise ConflictError(
            f"a role of this name can log in or is a superuser: {names}",
            hint="choose other names: activityctl migrate --roles --prefix NAME",
        )


def role_statements(prefix: str, schema: str, existing: Collection[str] | None = None) -> list[str]:
    """Return the statements that create the roles, if they are missing, and set their rights.

    With `existing`, they create no role and concern only those of these names. Rights that a role
    has beside those of the table are taken away. Run them in one transaction.
    """
    names = {
        role: name
        for role, name in role_names(prefix).items()
        if existing is None or name in existing
    }
    created = [_create(name) for name in names.values()] if existing is None else []
    everyone = ", ".join(names.values())
    tables = ", ".join(_qualified(schema, table) for table in TABLES)
    functions = ", ".join(_qualified(schema, function) for function in FUNCTIONS)
    return [
        *created,
        f"GRANT USAGE ON SCHEMA {_identifier(schema)} TO {everyone}",
        _CONNECT.format(roles=everyone),
        f"REVOKE ALL ON {tables} FROM {everyone}",
        f"REVOKE ALL ON FUNCTION {functions} FROM {everyone}, PUBLIC",
        *_grants(TABLES, schema, names, ""),
        *_grants(FUNCTIONS, schema, names, "FUNCTION "),
    ]


# Only the owner of the database can grant CONNECT. Without it, PUBLIC usually has this right.
_CONNECT: Final = """DO $$ BEGIN
    IF has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO {roles}', current_database());
    END IF;
END $$"""


def _create(name: str) -> str:
    return f"""DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN
        CREATE ROLE {name} NOLOGIN;
    END IF;
END $$"""


def _grants(
    rights: Mapping[str, Rights], schema: str, names: Mapping[Role, str], kind: str
) -> list[str]:
    return [
        f"GRANT {privileges} ON {kind}{_qualified(schema, target)} TO {names[role]}"
        for target, by_role in rights.items()
        for role, privileges in by_role.items()
        if privileges and role in names
    ]


def _qualified(schema: str, target: str) -> str:
    return f"{_identifier(schema)}.{target}"


def _identifier(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
