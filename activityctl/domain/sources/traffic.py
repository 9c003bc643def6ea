"""What came to an event source: counts, and the last refused requests, without their content."""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.sources.refusal import Refusal
from activityctl.domain.sources.request import WebRequest
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.untrusted import printable
from activityctl.frozen_dataclass import frozen_dataclass

MOST_REFUSALS: Final = 100
"""How many refused requests of one source are kept."""
REFUSALS_KEPT_FOR: Final = timedelta(days=30)
_LONGEST_REASON: Final = 500
_LONGEST_TEXT: Final = 100


@frozen_dataclass
class RefusedRequest:
    """A refused request, for the owner of the source: neither headers, nor query, nor body."""

    at: datetime
    code: str
    reason: str
    status: int
    method: str
    content_type: str
    size: int
    """Bytes of the body."""
    sha256: str
    """The hash of the body, in hex, to find the request in the sender's own list."""
    sender: str | None = None
    """The address that it came from, if it is known."""


@frozen_dataclass
class SourceTraffic:
    """How often each thing happened since the source was first used; close, but no ledger."""

    accepted: int = 0
    """Events that were stored."""
    duplicates: int = 0
    """Events that were stored before."""
    challenges: int = 0
    """Requests that were answered as challenges."""
    ignored: int = 0
    """Requests that were no events, because of `when` or an empty list."""
    refused: int = 0
    """Requests that were refused."""
    last_accepted_at: datetime | None = None
    last_refused_at: datetime | None = None

    def plus(self, other: "SourceTraffic") -> "SourceTraffic":
        """Return the sum; the times are those of the other where it has them."""
        return SourceTraffic(
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.challenges + other.challenges,
            self.ignored + other.ignored,
            self.refused + other.refused,
            other.last_accepted_at or self.last_accepted_at,
            other.last_refused_at or self.last_refused_at,
        )


def refused_request(
    request: WebRequest, refusal: Refusal, at: datetime, secrets: tuple[str, ...] = ()
) -> RefusedRequest:
    """Return what is kept of a refused request; a secret in its reason is masked."""
    reason = refusal.reason
    for secret in secrets:
        reason = reason.replace(secret, "***") if secret else reason
    return RefusedRequest(
        at,
        refusal.code.value,
        _bounded(reason, _LONGEST_REASON),
        refusal.status,
        _bounded(request.method, _LONGEST_TEXT),
        _bounded(request.content_type, _LONGEST_TEXT),
        len(request.body),
        hashlib.sha256(request.body).hexdigest(),
        None if request.sender is None else _bounded(request.sender, _LONGEST_TEXT),
    )


def masked(refused: RefusedRequest, size: int) -> RefusedRequest:
    """Return the refusal of a request whose body was not read; `size` is what it announced."""
    return replace(refused, size=size, sha256="")


def traffic_view(traffic: SourceTraffic) -> View:
    """Return the JSON form of the counts."""
    return {
        "accepted": traffic.accepted,
        "duplicates": traffic.duplicates,
        "challenges": traffic.challenges,
        "ignored": traffic.ignored,
        "refused": traffic.refused,
        "lastAcceptedAt": format_timestamp(traffic.last_accepted_at),
        "lastRefusedAt": format_timestamp(traffic.last_refused_at),
    }


def refused_view(refused: RefusedRequest) -> View:
    """Return the JSON form of a refused request."""
    return {
        "at": format_timestamp(refused.at),
        "code": refused.code,
        "reason": refused.reason,
        "status": refused.status,
        "method": refused.method,
        "contentType": refused.content_type,
        "size": refused.size,
        "sha256": refused.sha256,
        "sender": refused.sender,
    }


def _bounded(text: str, most: int) -> str:
    shown = printable(text).replace("\n", " ")
    return shown if len(shown) <= most else shown[: most - 1] + "…"
