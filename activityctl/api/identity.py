"""Who sends a request: the token of its Authorization header."""

import hmac
import logging
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from activityctl import wiring
from activityctl.api.gate import check_rate
from activityctl.api.refusals import UnauthorizedError
from activityctl.errors import NotAllowedError
from activityctl.secret import Secret

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, for rates and for what is recorded."""

    name: str


class Identity:
    """Knows the valid tokens."""

    def __init__(self, home: Path | None) -> None:
        """With a home, the token of its file is valid; it is read each time, so it can change."""
        self._home = home

    def caller_with(self, token: str) -> Caller:
        """Return who has the token; UnauthorizedError if it is not valid."""
        local = self._local_token()
        if local is not None and hmac.compare_digest(token.encode(), local.value.encode()):
            return Caller("local")
        raise UnauthorizedError

    def _local_token(self) -> Secret | None:
        if self._home is None:
            return None
        try:
            return wiring.read_local_token(self._home)
        except NotAllowedError as error:  # a stranger is not told about files of this machine
            _LOG.error("%s", error)
            return None


async def require_caller(request: Request) -> Caller:
    """Return who sends the request; raise UnauthorizedError, or TooManyRequestsError."""
    given = request.headers.getlist("authorization")
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError
    identity: Identity = request.app.state.identity
    caller = identity.caller_with(token.strip())
    check_rate(request.app.state.rates, f"token {caller.name}")
    return caller
