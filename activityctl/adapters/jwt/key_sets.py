"""The public keys of an issuer (a JWK set, RFC 7517): of a file, or fetched and kept for a while.

A key is found by its id alone. What a token says of where its key is (`jku`, `x5u`, `jwk`, `x5c`)
is never read.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from activityctl.errors import InvalidInputError, UnreachableError, reason_of

KEPT_SECONDS: Final = 600.0
"""How long fetched keys are used before they are fetched again."""
AT_LATEST_SECONDS: Final = 24 * 3600.0
"""How long they are used while the issuer does not answer."""
PAUSE_SECONDS: Final = 15.0
"""The least time between two fetches, also for tokens with an unknown key."""
_FETCH_SECONDS: Final = 10.0
_MOST_BYTES: Final = 256 * 1024
_OK: Final = 200
_LOG = logging.getLogger(__name__)

Jwk = Mapping[str, Any]


class KeySet(Protocol):
    """Finds keys by their ids."""

    async def find(self, key_id: str | None) -> Jwk | None:
        """Return the key with this id, or the only key if no id is given; else None.

        Raises UnreachableError if the keys cannot be had.
        """
        ...


def read_key_file(path: Path) -> list[Jwk]:
    """Return the keys of a file; InvalidInputError for a file that has none."""
    try:
        keys = _keys_of(path.read_bytes()[: _MOST_BYTES + 1])
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {reason_of(error)}") from None
    if not keys:
        raise InvalidInputError(
            f"{path} is no JWK set with public keys", hint='write {"keys": [{"kty": "RSA", …}]}'
        )
    return keys


class StaticKeySet:
    """The keys of a file."""

    def __init__(self, keys: list[Jwk]) -> None:
        self._keys = keys

    async def find(self, key_id: str | None) -> Jwk | None:
        """Return the key; see KeySet."""
        return _chosen(self._keys, key_id)


@dataclass(slots=True)
class _Fetched:
    keys: list[Jwk]
    at: float


class FetchedKeySet:
    """The keys at a URL."""

    def __init__(self, url: str, client: httpx.AsyncClient, monotonic: Callable[[], float]) -> None:
        self._url = url
        self._client = client
        self._monotonic = monotonic
        self._fetched: _Fetched | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def find(self, key_id: str | None) -> Jwk | None:
        """Return the key; fetch the keys if they are old or do not have it."""
        found = self._found(key_id, KEPT_SECONDS)
        if found is None:
            async with self._lock:
                found = self._found(key_id, KEPT_SECONDS)
                if found is None and self._may_try():
                    await self._fetch()
        found = found or self._found(key_id, AT_LATEST_SECONDS)
        if found is None and self._is_without_keys():
            raise UnreachableError("the keys of the issuer cannot be fetched")
        return found

    def _found(self, key_id: str | None, most_seconds: float) -> Jwk | None:
        fetched = self._fetched
        if fetched is None or self._monotonic() - fetched.at > most_seconds:
            return None
        return _chosen(fetched.keys, key_id)

    def _is_without_keys(self) -> bool:
        fetched = self._fetched
        return fetched is None or self._monotonic() - fetched.at > AT_LATEST_SECONDS

    def _may_try(self) -> bool:
        now = self._monotonic()
        if self._tried_at is not None and now - self._tried_at < PAUSE_SECONDS:
            return False
        self._tried_at = now
        return True

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                keys = _keys_of(await self._get())
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            _LOG.warning("the keys at %s cannot be fetched: %s", self._url, type(error).__name__)
            return
        if keys:
            self._fetched = _Fetched(keys, self._monotonic())
        else:
            _LOG.warning("there are no public keys at %s", self._url)

    async def _get(self) -> bytes:
        content = bytearray()
        async with self._client.stream("GET", self._url) as response:
            if response.status_code != _OK:
                raise ValueError("status")
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > _MOST_BYTES:
                    raise ValueError("size")
        return bytes(content)


def _keys_of(content: bytes) -> list[Jwk]:
    """Return the public keys for signatures; keys of other kinds are left out."""
    if len(content) > _MOST_BYTES:
        return []
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return []
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list):
        return []
    return [
        key
        for key in keys
        if isinstance(key, dict)
        and key.get("kty") in {"RSA", "EC", "OKP"}
        and key.get("use", "sig") == "sig"
    ]


def _chosen(keys: list[Jwk], key_id: str | None) -> Jwk | None:
    if key_id is None:
        return keys[0] if len(keys) == 1 else None
    return next((key for key in keys if key.get("kid") == key_id), None)
