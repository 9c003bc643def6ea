"""The tokens of the HTTP API, and the record of changes, in Postgres."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.audit_rows import (
    BEGIN_ENTRY,
    entry_values,
    insert_audit_entry,
)
from activityctl.adapters.postgres.database import (
    Database,
    prefix_pattern,
    to_jsonb,
)
from activityctl.adapters.postgres.pages import after, place_of
from activityctl.domain.access.audit import BEGUN, AuditEntry
from activityctl.domain.access.scope import parse_scope
from activityctl.domain.access.token import ApiToken
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError

_COLUMNS: Final = (
    "id, name, digest, scopes, created_at, created_by, expires_at, revoked_at, last_used_at, "
    "last_used_from"
)
_ADD: Final = """
    INSERT INTO api_tokens (id, name, digest, scopes, created_at, created_by, expires_at)
    VALUES (%(id)s, %(name)s, %(digest)s, %(scopes)s, %(created_at)s, %(created_by)s,
        %(expires_at)s)
    ON CONFLICT (name) DO NOTHING RETURNING id"""
# The time of the last use is written once a minute, so that most requests write nothing.
_USE: Final = f"""
    WITH found AS (
        SELECT {_COLUMNS} FROM api_tokens
        WHERE id = %(id)s AND digest = %(digest)s AND revoked_at IS NULL
          AND (expires_at IS NULL OR expires_at > now())),
    noted AS (
        UPDATE api_tokens t SET last_used_at = now(), last_used_from = %(address)s
        FROM found f WHERE t.id = f.id
          AND (f.last_used_at IS NULL OR f.last_used_at < now() - interval '1 minute'))
    SELECT {_COLUMNS} FROM found"""
_IN_FORCE: Final = f"""
    SELECT {_COLUMNS}
    FROM unnest(%(ids)s::text[], %(digests)s::text[]) AS asked(id, digest)
    JOIN api_tokens USING (id, digest)
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"""
# Looked for row by row, as far as the page goes: a join, or EXISTS, could read the whole table.
_CLOSED_BY: Final = """(
    SELECT later.id FROM audit_entries later
    WHERE later.closes = entry.id
      AND (later.actor, later.action, later.target) = (entry.actor, entry.action, entry.target)
      AND later.request_id IS NOT DISTINCT FROM entry.request_id
    LIMIT 1)"""
_ENTRIES: Final = f"""
    SELECT id, at, actor, action, target, outcome, address, request_id, details, closes
    FROM audit_entries entry
    WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s)
      AND (%(name)s::text IS NULL OR actor = %(name)s OR request_id = %(name)s
           OR id LIKE %(prefix)s)
      AND (outcome <> '{BEGUN}' OR id = %(name)s OR {_CLOSED_BY} IS NULL) AND {{after}}
    ORDER BY at DESC, id LIMIT %(limit)s"""


class PostgresTokens:
    """Implements the Tokens port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, token: ApiToken) -> None:
        """Keep a new token; ConflictError if its name has been used before."""
        row = await self._database.fetch_one(
            _ADD,
            id=token.id,
            name=token.name,
            digest=token.digest,
            scopes=to_jsonb([str(scope) for scope in token.scopes]),
            created_at=token.created_at,
            created_by=token.created_by,
            expires_at=token.expires_at,
        )
        if row is None:
            raise ConflictError(
                f'the token "{token.name}" exists, or has existed', hint="choose another name"
            )

    async def all(self) -> list[ApiToken]:
        """Return every token, also those that are revoked or expired, by name."""
        rows = await self._database.fetch(f"SELECT {_COLUMNS} FROM api_tokens ORDER BY name")
        return [_token(row) for row in rows]

    async def use(self, token_id: str, digest: str, address: str | None) -> ApiToken | None:
        """Return the token and note its use; None if it is unknown, expired or revoked."""
        row = await self._database.fetch_one(_USE, id=token_id, digest=digest, address=address)
        return None if row is None else _token(row)

    async def in_force(self, digests: Mapping[str, str]) -> list[ApiToken]:
        """Return those of the tokens that are valid now; the digests are by id."""
        rows = await self._database.fetch(
            _IN_FORCE, ids=list(digests), digests=list(digests.values())
        )
        return [_token(row) for row in rows]

    async def revoke(self, name: str, now: datetime) -> ApiToken:
        """Make a token invalid from now on; a repeat changes nothing. NotFoundError for none."""
        row = await self._database.fetch_one(
            f"""UPDATE api_tokens SET revoked_at = coalesce(revoked_at, %(now)s)
                WHERE name = %(name)s RETURNING {_COLUMNS}""",
            name=name,
            now=now,
        )
        if row is None:
            raise NotFoundError("token", name, hint="activityctl tokens list")
        return _token(row)


class PostgresAuditTrail:
    """Implements the AuditTrail port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, entry: AuditEntry) -> None:
        """Keep the entry about a change that follows; it is not lost unless the change is, too."""
        async with self._database.connection() as connection:
            await connection.execute(BEGIN_ENTRY, entry_values(entry))

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Keep the entries."""
        for entry in entries:
            async with self._database.connection() as connection:
                await insert_audit_entry(connection, entry)

    async def entries(self, selection: Selection) -> list[AuditEntry]:
        """Return the entries since the selection's time, newest first."""
        rows = await self._database.fetch(
            _ENTRIES.replace("{after}", after(selection, "at DESC", "id")),
            since=selection.since,
            name=selection.name,
            prefix=prefix_pattern(selection.name or ""),
            limit=selection.limit,
            **place_of(selection),
        )
        return [AuditEntry(**row) for row in rows]


def _token(row: dict[str, Any]) -> ApiToken:
    return ApiToken(**{**row, "scopes": tuple(map(parse_scope, row["scopes"]))})
