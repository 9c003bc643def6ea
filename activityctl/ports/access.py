"""Ports for the tokens of the HTTP API, and for the record of what was changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.access.issuer import VerifiedToken
from activityctl.domain.access.token import ApiToken
from activityctl.domain.values.selection import Selection


class Tokens(Protocol):
    """The tokens of the HTTP API."""

    async def add(self, token: ApiToken) -> None:
        """Keep a new token; ConflictError if its name has been used before."""
        ...

    async def all(self) -> list[ApiToken]:
        """Return every token, also those that are revoked or expired, by name."""
        ...

    async def use(self, token_id: str, digest: str, address: str | None) -> ApiToken | None:
        """Return the token and note its use; None if it is unknown, expired or revoked."""
        ...

    async def in_force(self, digests: Mapping[str, str]) -> list[ApiToken]:
        """Return those of the tokens that are valid now; the digests are by id.

        This is no use of them.
        """
        ...

    async def revoke(self, name: str, now: datetime) -> ApiToken:
        """Make a token invalid from now on; a repeat changes nothing. NotFoundError for none."""
        ...


class InvalidTokenError(Exception):
    """A token of another issuer is not valid; the text says why, for the operator alone."""


class TokenVerifier(Protocol):
    """Verifies tokens of other issuers (JWT)."""

    async def verify(self, text: str) -> VerifiedToken:
        """Return the token, whose claims are then true.

        Raises InvalidTokenError, and UnreachableError if the issuer's keys cannot be had.
        """
        ...


class AuditTrail(Protocol):
    """The record of changes; entries are only added."""

    async def begin(self, entry: AuditEntry) -> None:
        """Keep the entry about a change that follows; it is not lost unless the change is, too."""
        ...

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Keep the entries."""
        ...

    async def entries(self, selection: Selection) -> list[AuditEntry]:
        """Return the entries since the selection's time, newest first.

        A name selects the entries of this actor, of this request, or whose id begins so. An entry
        about a change that was begun is left out if another one says how that has ended, unless
        its whole id is the name.
        """
        ...
