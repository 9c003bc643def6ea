"""Opens the verifier of tokens of other issuers, if the settings name any."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from activityctl.ports import TokenVerifier
from activityctl.settings import Settings

_SECONDS = 10.0


@asynccontextmanager
async def open_token_verifier(settings: Settings) -> AsyncIterator[TokenVerifier | None]:
    """Yield the verifier; None if no file of issuers is named.

    Raises InvalidInputError if the file, or one of its files of keys, cannot be used.
    """
    if settings.issuers_file is None:
        yield None
        return
    import httpx

    from activityctl.adapters.jwt.issuers_file import read_issuers
    from activityctl.adapters.jwt.verifier import JwtVerifier

    issuers = read_issuers(settings.issuers_file)
    async with httpx.AsyncClient(
        timeout=_SECONDS, follow_redirects=False, trust_env=False
    ) as client:
        yield JwtVerifier(issuers, client)
