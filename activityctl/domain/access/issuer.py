"""Issuers of other tokens (JWT): whom the API believes, and which scopes their claims give.

An issuer says who somebody is, such as the CI that runs a job. Rules compare the claims and give
scopes; a token that no rule fits gives nothing.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from activityctl.domain.access.caller import Caller
from activityctl.domain.access.scope import Scope, matches, parse_scope
from activityctl.domain.values.duration import Duration
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.model import Manifest, Name
from activityctl.domain.values.untrusted import escape_line
from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass

ALGORITHMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""Signatures with a pair of keys, and the type of key of each. No key is shared with an issuer."""
LONGEST_LEEWAY: Final = timedelta(seconds=60)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_SUBJECT: Final = 200


def _algorithm(text: str) -> str:
    if text not in ALGORITHMS:
        raise ValueError(f"is not one of {', '.join(ALGORITHMS)}")
    return text


def _key_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_secure = parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in _LOOPBACK
        )
    except ValueError:
        is_secure = False
    if not is_secure or not parts.hostname or parts.username or parts.password:
        raise ValueError("should be an https URL without a login")
    return text


def _scope(text: str) -> str:
    try:
        parse_scope(text)
    except UsageError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None
    return text


def _leeway(value: timedelta) -> timedelta:
    if value > LONGEST_LEEWAY:
        raise ValueError("is longer than 60s")
    return value


Patterns = Annotated[
    dict[Annotated[str, Field(min_length=1)], Annotated[str, Field(min_length=1)]],
    Field(min_length=1),
]


class ClaimRule(Manifest):
    """Gives scopes to tokens whose claims all fit."""

    claims: Patterns = Field(
        description="A pattern for each claim, in which * stands for any characters.",
        examples=[{"repository": "acme/automations", "ref": "refs/heads/main"}],
    )
    scopes: list[Annotated[str, AfterValidator(_scope)]] = Field(
        min_length=1,
        description="What such a token may do, as for `tokens create`.",
        examples=[["read", "apply:set=payments"]],
    )

    def fits(self, claims: Mapping[str, Any]) -> bool:
        """Return whether each pattern fits its claim, or one item of a claim that is a list."""
        return all(
            any(matches(pattern, text) for text in _texts(claims.get(name)))
            for name, pattern in self.claims.items()
        )


class Issuer(Manifest):
    """One issuer, where its public keys are, and what its tokens may do."""

    name: Name = Field(
        description="What the audit calls it: the actor is jwt/NAME/SUBJECT.", examples=["ci"]
    )
    issuer: str = Field(
        min_length=1, description="The claim iss, exactly.", examples=["https://ci.example"]
    )
    audience: str = Field(
        min_length=1,
        description="What the claim aud must have: a name for this installation alone.",
        examples=["activityctl-prod"],
    )
    jwks_url: Annotated[str, AfterValidator(_key_url)] | None = Field(
        default=None,
        alias="jwksURL",
        description="Where the issuer publishes its keys.",
        examples=["https://ci.example/.well-known/jwks.json"],
    )
    keys_file: str | None = Field(
        default=None,
        min_length=1,
        description="A file with its keys (a JWK set), instead of jwksURL; relative to this file.",
        examples=["ci-keys.json"],
    )
    algorithms: list[Annotated[str, AfterValidator(_algorithm)]] = Field(
        default=["RS256", "ES256"],
        min_length=1,
        description="Which signatures are accepted. Default: RS256 and ES256.",
        examples=[["EdDSA"]],
    )
    leeway: Annotated[Duration, AfterValidator(_leeway)] = Field(
        default=timedelta(seconds=30),
        description="How far the clocks may differ, 60s at most. Default: 30s.",
        examples=["10s"],
    )
    rules: list[ClaimRule] = Field(
        min_length=1, description="A token gets the scopes of every rule that fits it."
    )

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if (self.jwks_url is None) == (self.keys_file is None):
            raise ValueError("needs one of jwksURL and keysFile")
        return self

    def scopes_of(self, claims: Mapping[str, Any]) -> tuple[Scope, ...]:
        """Return the scopes of all rules that fit; none means that the token is not valid here."""
        texts = [text for rule in self.rules if rule.fits(claims) for text in rule.scopes]
        return tuple(parse_scope(text) for text in dict.fromkeys(texts))


class Issuers(Manifest):
    """The file of issuers."""

    issuers: list[Issuer] = Field(min_length=1, description="Each with a name of its own.")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if len({each.name for each in self.issuers}) < len(self.issuers):
            raise ValueError("two issuers have the same name")
        if len({(each.issuer, each.audience) for each in self.issuers}) < len(self.issuers):
            raise ValueError("two issuers have the same issuer and audience")
        return self

    def in_folder(self, folder: Path) -> "Issuers":
        """Return the issuers with the files of keys in the folder of the file that names them."""
        found = [
            each
            if each.keys_file is None
            else each.model_copy(update={"keys_file": str(folder / each.keys_file)})
            for each in self.issuers
        ]
        return self.model_copy(update={"issuers": found})


@frozen_dataclass
class VerifiedToken:
    """A token whose signature and times were right."""

    issuer: Issuer
    claims: Mapping[str, Any]

    @property
    def caller(self) -> Caller:
        """Who sends it; without scopes if no rule fits."""
        subject = escape_line(str(self.claims["sub"]))[:_LONGEST_SUBJECT]
        return Caller(f"jwt/{self.issuer.name}/{subject}", self.issuer.scopes_of(self.claims))


def verified_view(token: VerifiedToken) -> View:
    """Return the JSON form: who it is, until when, and what it may do."""
    caller = token.caller
    return {
        "issuer": token.issuer.name,
        "actor": caller.name,
        "scopes": [str(scope) for scope in caller.scopes],
        "expiresAt": format_timestamp(_moment(token.claims["exp"])),
        "claims": dict(token.claims),
    }


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _texts(claim: Any) -> list[str]:
    """Return the texts of a claim; numbers and booleans as JSON writes them."""
    if isinstance(claim, bool):
        return ["true" if claim else "false"]
    if isinstance(claim, str | int | float):
        return [str(claim)]
    if isinstance(claim, list):
        return [text for item in claim if not isinstance(item, list) for text in _texts(item)]
    return []
