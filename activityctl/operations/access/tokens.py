"""Make and revoke tokens of the HTTP API; each change is recorded."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from activityctl.domain.access.audit import BEGUN, AuditEntry
from activityctl.domain.access.scope import Scope
from activityctl.domain.access.token import ApiToken, digest_of, token_text
from activityctl.domain.values.model import NAME_PATTERN
from activityctl.errors import UsageError
from activityctl.operations.access.auditing import audited
from activityctl.ports import AuditTrail, Tokens


async def add_token(
    tokens: Tokens,
    name: str,
    scopes: Sequence[Scope],
    made: tuple[str, str],
    *,
    ttl: timedelta | None,
    now: datetime,
    actor: str,
) -> tuple[ApiToken, str]:
    """Keep a new token, and return it with its text, which nobody can see again.

    `made` has what is random: the id of the token, and its secret. The caller records it.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(f"{name!r} cannot be the name of a token", hint="use a-z, 0-9 and -")
    if not scopes:
        raise UsageError("a token needs a scope", hint="--scope read, or emit, or both")
    token_id, secret = made
    text = token_text(token_id, secret)
    expires_at = None if ttl is None else now + ttl
    token = ApiToken(token_id, name, digest_of(text), tuple(scopes), now, actor, expires_at)
    await tokens.add(token)
    return token, text


async def create_token(
    tokens: Tokens,
    audit: AuditTrail,
    name: str,
    scopes: Sequence[Scope],
    made: tuple[str, str, str],
    *,
    ttl: timedelta | None,
    now: datetime,
    actor: str,
) -> tuple[ApiToken, str]:
    """Keep a new token and record it; return it with its text, which nobody can see again.

    `made` has what is random: the id of the token, its secret, and the id of the audit entry.
    """
    token_id, secret, entry_id = made
    begun = _begun(entry_id, now, actor, "tokens create", name)
    async with audited(audit, begun, {"scopes": [str(each) for each in scopes]}, lambda: now):
        return await add_token(
            tokens, name, scopes, (token_id, secret), ttl=ttl, now=now, actor=actor
        )


async def revoke_token(
    tokens: Tokens, audit: AuditTrail, name: str, *, entry_id: str, now: datetime, actor: str
) -> ApiToken:
    """Make a token invalid from now on; NotFoundError if there is none of the name."""
    begun = _begun(entry_id, now, actor, "tokens revoke", name)
    async with audited(audit, begun, {}, lambda: now):
        return await tokens.revoke(name, now)


def _begun(entry_id: str, now: datetime, actor: str, action: str, name: str) -> AuditEntry:
    return AuditEntry(entry_id, now, actor, action, f"token/{name}", BEGUN)
