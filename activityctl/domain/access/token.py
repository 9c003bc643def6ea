"""ApiToken: a key with which programs use the HTTP API. Only the digest of its text is kept."""

import hashlib
import re
from datetime import datetime
from typing import Final

from activityctl.domain.access.scope import Scope
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass

ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
"""How many random bytes the parts of a text have."""
_TEXT: Final = re.compile(r"actl_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@frozen_dataclass
class ApiToken:
    """A token without its text. Its name is never used again, so that the audit stays clear."""

    id: str
    name: str
    digest: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """At most a minute behind."""
    last_used_from: str | None = None
    """The address."""

    def status(self, now: datetime) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


def token_text(token_id: str, secret: str) -> str:
    """Return the text that a program sends; the secret has 32 random bytes."""
    return f"actl_{token_id}_{secret}"


def digest_of(text: str) -> str:
    """Return what is kept of a text. It is random and long, so no slow hash is needed."""
    return hashlib.sha256(text.encode()).hexdigest()


def token_id_of(text: str) -> str | None:
    """Return the id of a token; None if the text cannot be one."""
    found = _TEXT.fullmatch(text)
    return None if found is None else found[1]


def token_view(token: ApiToken, now: datetime) -> View:
    """Return the JSON form, without the digest."""
    return {
        "name": token.name,
        "id": token.id,
        "scopes": [str(scope) for scope in token.scopes],
        "status": token.status(now),
        "createdAt": format_timestamp(token.created_at),
        "createdBy": token.created_by,
        "expiresAt": format_timestamp(token.expires_at),
        "revokedAt": format_timestamp(token.revoked_at),
        "lastUsedAt": format_timestamp(token.last_used_at),
        "lastUsedFrom": token.last_used_from,
    }
