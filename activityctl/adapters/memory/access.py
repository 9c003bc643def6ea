"""The tokens and the record of changes, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from activityctl.domain.access.audit import BEGUN, AuditEntry
from activityctl.domain.access.token import ApiToken
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError


class MemoryTokens:
    """Implements the Tokens port."""

    def __init__(self) -> None:
        self._tokens: dict[str, ApiToken] = {}

    async def add(self, token: ApiToken) -> None:
        """Keep a new token; ConflictError if its name has been used before."""
        if token.name in self._tokens:
            raise ConflictError(
                f'the token "{token.name}" exists, or has existed', hint="choose another name"
            )
        self._tokens[token.name] = token

    async def all(self) -> list[ApiToken]:
        """Return every token, also those that are revoked or expired, by name."""
        return [self._tokens[name] for name in sorted(self._tokens)]

    async def use(self, token_id: str, digest: str, address: str | None) -> ApiToken | None:
        """Return the token and note its use; None if it is unknown, expired or revoked."""
        now = datetime.now(UTC)
        for token in self._tokens.values():
            is_it = (token.id, token.digest) == (token_id, digest)
            if is_it and token.status(now) == "active":
                used = replace(token, last_used_at=now, last_used_from=address)
                self._tokens[token.name] = used
                return token
        return None

    async def in_force(self, digests: Mapping[str, str]) -> list[ApiToken]:
        """Return those of the tokens that are valid now; the digests are by id."""
        now = datetime.now(UTC)
        return [
            token
            for token in self._tokens.values()
            if digests.get(token.id) == token.digest and token.status(now) == "active"
        ]

    async def revoke(self, name: str, now: datetime) -> ApiToken:
        """Make a token invalid from now on; a repeat changes nothing. NotFoundError for none."""
        if name not in self._tokens:
            raise NotFoundError("token", name, hint="activityctl tokens list")
        token = self._tokens[name]
        self._tokens[name] = replace(token, revoked_at=token.revoked_at or now)
        return self._tokens[name]


class MemoryAuditTrail:
    """Implements the AuditTrail port."""

    def __init__(self, entries: list[AuditEntry] | None = None) -> None:
        self._entries = [] if entries is None else entries

    async def begin(self, entry: AuditEntry) -> None:
        """Keep the entry about a change that follows."""
        self._entries.append(entry)

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Keep the entries."""
        self._entries += entries

    async def entries(self, selection: Selection) -> list[AuditEntry]:
        """Return the entries since the selection's time, newest first."""
        name = selection.name
        found = [
            entry
            for entry in self._entries
            if (selection.since is None or entry.at >= selection.since)
            and (
                name is None or name in {entry.actor, entry.request_id} or entry.id.startswith(name)
            )
            and (entry.id == name or not self._is_closed(entry))
        ]
        found.sort(key=lambda entry: entry.id)
        found.sort(key=lambda entry: entry.at, reverse=True)
        if selection.after:
            keys: list[tuple[object, ...]] = [(entry.at, entry.id) for entry in found]
            found = found[keys.index(selection.after) + 1 :]
        return found[: selection.limit]

    def _is_closed(self, entry: AuditEntry) -> bool:
        """Return whether another entry says how the change has ended that this one begins."""
        return entry.outcome == BEGUN and any(map(entry.is_closed_by, self._entries))
