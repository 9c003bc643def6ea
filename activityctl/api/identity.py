"""Who sends a request: the token of its Authorization header."""

import hmac
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.types import Scope as HttpScope

from activityctl import wiring
from activityctl.api.gate import check_rate
from activityctl.api.refusals import UnauthorizedError
from activityctl.domain.access.caller import Caller
from activityctl.domain.access.scope import Action, Scope
from activityctl.domain.access.token import ApiToken, digest_of, token_id_of
from activityctl.domain.values.untrusted import escape_line
from activityctl.errors import ActivityctlError, NotAllowedError
from activityctl.ports import InvalidTokenError, Tokens, TokenVerifier
from activityctl.secret import Secret

_LOG = logging.getLogger(__name__)
_DOTS_OF_JWT: Final = 2
_LOCAL: Final = Caller("local", (Scope(Action.ADMIN),))


class Identity:
    """Knows the token of the local daemon; those of programs are in Postgres."""

    def __init__(self, home: Path | None) -> None:
        """With a home, the token of its file is valid; it is read each time, so it can change."""
        self._home = home
        self.verifier: TokenVerifier | None = None
        """Verifies tokens of other issuers. None: there are none."""

    async def caller_with(self, text: str, tokens: Tokens, address: str | None) -> Caller:
        """Return who has the token; UnauthorizedError if it is not valid."""
        token_id = token_id_of(text)
        if token_id is None and self.verifier is not None and text.count(".") == _DOTS_OF_JWT:
            return await _foreign_caller(text, self.verifier)
        if token_id is None:
            local = self._local_token()
            if local is None or not hmac.compare_digest(text.encode(), local.value.encode()):
                raise UnauthorizedError
            return _LOCAL
        token = await tokens.use(token_id, digest_of(text), address)
        if token is None:
            raise UnauthorizedError
        return _caller_of(token)

    async def callers_with(
        self, texts: Collection[str], tokens: Tokens
    ) -> Mapping[str, Caller | ActivityctlError]:
        """Return who has each token now, or why nobody has; this is no use of the tokens.

        Those that are in Postgres are read at once.
        """
        ids = {text: token_id_of(text) for text in texts}
        digests = {token_id: digest_of(text) for text, token_id in ids.items() if token_id}
        kept = await tokens.in_force(digests) if digests else []
        by_id = {token.id: token for token in kept}
        found: dict[str, Caller | ActivityctlError] = {}
        for text, token_id in ids.items():
            if token_id is None:
                found[text] = await self._caller_or_reason(text, tokens)
            else:
                token = by_id.get(token_id)
                found[text] = UnauthorizedError() if token is None else _caller_of(token)
        return found

    async def _caller_or_reason(self, text: str, tokens: Tokens) -> Caller | ActivityctlError:
        try:
            return await self.caller_with(text, tokens, None)
        except ActivityctlError as error:
            return error

    def _local_token(self) -> Secret | None:
        if self._home is None:
            return None
        try:
            return wiring.read_local_token(self._home)
        except NotAllowedError as error:  # a stranger is not told about files of this machine
            _LOG.error("%s", error)
            return None


def _caller_of(token: ApiToken) -> Caller:
    return Caller(f"token/{token.name}", token.scopes)


async def _foreign_caller(text: str, verifier: TokenVerifier) -> Caller:
    try:
        caller = (await verifier.verify(text)).caller
    except InvalidTokenError as error:  # only the operator is told
        _LOG.info("a token of another issuer was refused: %s", escape_line(str(error)))
        raise UnauthorizedError from None
    if not caller.scopes:
        _LOG.info("a token of %s was refused: no rule fits its claims", caller.name)
        raise UnauthorizedError
    return caller


def bears_token(scope: HttpScope) -> bool:
    """Return whether a request shows a token of the API, whatever it is worth."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, text = (given[0] if len(given) == 1 else b"").partition(b" ")
    if scheme.lower() != b"bearer":
        return False
    accepts_jwt = scope["app"].state.identity.verifier is not None
    return text.startswith(b"actl_") or (accepts_jwt and text.count(b".") == _DOTS_OF_JWT)


def token_text_of(request: Request) -> str:
    """Return the token that a request sends; UnauthorizedError if it sends none."""
    given = request.headers.getlist("authorization")
    scheme, _, text = (given[0] if len(given) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise UnauthorizedError
    return text.strip()


async def require_caller(request: Request) -> Caller:
    """Return who sends the request; raise UnauthorizedError, or TooManyRequestsError."""
    text = token_text_of(request)
    state = request.app.state
    address = request.client.host if request.client else None
    caller: Caller = await state.identity.caller_with(text, state.ports.tokens, address)
    check_rate(state.rates, caller.name)
    return caller


Known = Annotated[Caller, Depends(require_caller)]
"""Who sends the request, as an argument of a path."""
