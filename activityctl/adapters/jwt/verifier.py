"""Verifies tokens of other issuers: the signature by PyJWT, and all that it must not be told.

The algorithm and the key are those of the issuer. A token chooses neither: it names one of the
issuer's algorithms and keys, and anything else in its header is refused or not read.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import jwt

from activityctl.adapters.jwt.key_sets import FetchedKeySet, KeySet, StaticKeySet, read_key_file
from activityctl.domain.access.issuer import ALGORITHMS, Issuer, Issuers, VerifiedToken
from activityctl.ports import InvalidTokenError

LONGEST: Final = 16 * 1024
"""In characters."""
_PARTS: Final = 3
_REQUIRED: Final = ("exp", "aud", "iss", "sub")
_LEAST_RSA_BITS: Final = 2048


class JwtVerifier:
    """Implements the TokenVerifier port."""

    def __init__(self, issuers: Issuers, client: httpx.AsyncClient) -> None:
        """Read the files of keys. Raises InvalidInputError if one cannot be used."""
        self._issuers: list[tuple[Issuer, KeySet]] = [
            (issuer, _key_set(issuer, client)) for issuer in issuers.issuers
        ]

    async def verify(self, text: str) -> VerifiedToken:
        """Return the token; InvalidTokenError says why it is not valid."""
        header, claims = _unverified(text)
        for issuer, keys in self._named(claims):
            jwk = await keys.find(_key_id(header))
            if jwk is None:
                raise InvalidTokenError(f"issuer {issuer.name} has no key {header.get('kid')!r}")
            return VerifiedToken(issuer, _verified(text, header, issuer, jwk))
        raise InvalidTokenError("no issuer of the file has its iss and aud")

    def _named(self, claims: Mapping[str, Any]) -> list[tuple[Issuer, KeySet]]:
        """Return the issuer that the token says it is of; its signature shows later if it is."""
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        return [
            pair
            for pair in self._issuers
            if pair[0].issuer == claims.get("iss") and pair[0].audience in audiences
        ][:1]


def _key_set(issuer: Issuer, client: httpx.AsyncClient) -> KeySet:
    if issuer.jwks_url is not None:
        return FetchedKeySet(issuer.jwks_url, client, time.monotonic)
    assert issuer.keys_file is not None  # noqa: S101  # the model has one of both
    return StaticKeySet(read_key_file(Path(issuer.keys_file)))


def _unverified(text: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if len(text) > LONGEST or len(text.split(".")) != _PARTS:
        raise InvalidTokenError("it is not a JWT")
    try:
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise InvalidTokenError(f"it is not a JWT: {type(error).__name__}") from None
    return header, claims


def _key_id(header: Mapping[str, Any]) -> str | None:
    key_id = header.get("kid")
    if key_id is not None and not isinstance(key_id, str):
        raise InvalidTokenError("kid is not a text")
    return key_id


def _verified(
    text: str, header: Mapping[str, Any], issuer: Issuer, jwk: Mapping[str, Any]
) -> Mapping[str, Any]:
    algorithm = header.get("alg")
    if algorithm not in issuer.algorithms:
        raise InvalidTokenError(f"alg {algorithm!r} is not one of {', '.join(issuer.algorithms)}")
    if jwk.get("kty") != ALGORITHMS[algorithm] or jwk.get("alg", algorithm) != algorithm:
        raise InvalidTokenError(f"the key is not one for {algorithm}")
    if "crit" in header:
        raise InvalidTokenError("its header has crit, and nothing of that is known here")
    try:
        key = jwt.PyJWK(dict(jwk), algorithm=algorithm)
        if getattr(key.key, "key_size", _LEAST_RSA_BITS) < _LEAST_RSA_BITS and (
            jwk["kty"] == "RSA"
        ):
            raise InvalidTokenError(f"the key has less than {_LEAST_RSA_BITS} bits")
        claims: Mapping[str, Any] = jwt.decode(
            text,
            key=key,
            algorithms=[algorithm],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=issuer.leeway,
            options={"require": list(_REQUIRED)},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise InvalidTokenError(_reason(error)) from None
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise InvalidTokenError("sub is not a text")
    return claims


def _reason(error: Exception) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "it has expired"
        case jwt.ImmatureSignatureError():
            return "it is not valid yet; look at the clocks"
        case jwt.MissingRequiredClaimError():
            return f"it has no {error.claim}"
        case jwt.InvalidSignatureError():
            return "its signature is not of the issuer's key"
        case _:
            return f"it is malformed: {type(error).__name__}"
