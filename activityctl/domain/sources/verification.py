"""Verification: how an event source recognises its sender, as YAML has it; `verify` does it."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from activityctl.domain.sources.signed_text import TIMESTAMP, SignedText, names_in
from activityctl.domain.values.duration import Duration, format_duration
from activityctl.domain.values.model import Manifest
from activityctl.domain.values.secret_ref import SecretRef, is_secret_name
from activityctl.domain.values.text import Text

HEADER_PATTERN: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"
LONGEST_TOLERANCE: Final = timedelta(days=1)
KINDS: Final = ("hmac", "standardWebhooks", "bearer", "none")


def check_header(name: str) -> str:
    """Return the name of a header; raise ValueError if no header can have it."""
    if not re.fullmatch(HEADER_PATTERN, name):
        raise ValueError(f"{name!r} is not the name of a header, such as x-signature")
    return name


Header = Annotated[
    str, AfterValidator(check_header), WithJsonSchema({"type": "string", "pattern": HEADER_PATTERN})
]
"""The name of a header; capital and small letters are the same."""
Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]
KeyForm = Literal["text", "hex", "base64"]


def _check_secret(ref: SecretRef) -> SecretRef:
    if not is_secret_name(ref.secret_ref):
        raise ValueError(f"{ref.secret_ref!r} is not the name of a secret")
    return ref


def _check_tolerance(tolerance: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= tolerance <= LONGEST_TOLERANCE:
        raise ValueError("should be 1s to 1d: it is how long a copied request could be sent again")
    return tolerance


def _refuse_text(value: object) -> object:
    if isinstance(value, str):
        raise ValueError("should be {secretRef: NAME}; the secret itself must not stand here")  # noqa: TRY004  # pydantic turns ValueError alone into a finding
    return value


Secret = Annotated[SecretRef, BeforeValidator(_refuse_text), AfterValidator(_check_secret)]
Tolerance = Annotated[Duration, AfterValidator(_check_tolerance)]
_FIVE_MINUTES: Final = timedelta(minutes=5)


class _Secrets(Manifest):
    """What all kinds with a secret have."""

    secret: Secret = Field(
        description="The secret that the sender has, too, as `{secretRef: NAME}`.",
        examples=[{"secretRef": "code-host-hook"}],
    )
    old_secret: Secret | None = Field(
        default=None,
        description="A second secret that is valid as well, while the sender changes from one to "
        "the other.",
        examples=[{"secretRef": "code-host-hook-old"}],
    )

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names of its secrets, the current one first."""
        old = () if self.old_secret is None else (self.old_secret.secret_ref,)
        return (self.secret.secret_ref, *old)


class SignatureFields(Manifest):
    """The fields of a header such as `t=1700000000,v1=5257a8…`."""

    signature: str = Field(
        min_length=1,
        max_length=40,
        description="The field with the signature; a header may have several of them.",
        examples=["v1"],
    )
    timestamp: str | None = Field(
        default=None,
        min_length=1,
        max_length=40,
        description="The field with the time of the signature.",
        examples=["t"],
    )
    separator: str = Field(
        default=",",
        min_length=1,
        max_length=3,
        description="What separates two fields.",
        examples=[";"],
    )


class HmacVerification(_Secrets):
    """The sender signs the request with HMAC and a secret."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "header": "x-hub-signature-256",
                    "prefix": "sha256=",
                    "secret": {"secretRef": "code-host-hook"},
                }
            ]
        }
    )

    header: Header = Field(
        description="The header with the signature.", examples=["x-hub-signature-256"]
    )
    prefix: str = Field(
        default="",
        max_length=40,
        description="What stands before the signature in the header.",
        examples=["sha256="],
    )
    fields: SignatureFields | None = Field(
        default=None,
        description="The fields of the header, if it is a list such as `t=…,v1=…`.",
        examples=[{"timestamp": "t", "signature": "v1"}],
    )
    timestamp_header: Header | None = Field(
        default=None,
        description="The header with the time of the signature: seconds or milliseconds since "
        "1970, or RFC 3339.",
        examples=["x-slack-request-timestamp"],
    )
    tolerance: Tolerance = Field(
        default=_FIVE_MINUTES,
        description="How far the time of the signature may be from ours.",
        examples=["5m"],
    )
    signed: SignedText = Field(
        default="{body}",
        description="What the sender signs: a text with `{body}`, and with `{timestamp}` and "
        "`{header.NAME}` where the sender has them.",
        examples=["{timestamp}.{body}"],
    )
    algorithm: Algorithm = Field(
        default="sha256", description="The hash function.", examples=["sha512"]
    )
    encoding: Encoding = Field(
        default="hex", description="How the signature is written.", examples=["base64"]
    )
    key: KeyForm = Field(
        default="text",
        description="Whether the text of the secret is the key itself, or the key in hex or "
        "base64.",
        examples=["base64"],
    )

    @model_validator(mode="after")
    def _times_are_signed(self) -> Self:
        in_field = self.fields is not None and self.fields.timestamp is not None
        if in_field and self.timestamp_header is not None:
            raise ValueError("write either timestampHeader or fields.timestamp, not both")
        if in_field and self.prefix:
            raise ValueError("prefix and fields exclude each other; the fields have names")
        signs_time = TIMESTAMP in names_in(self.signed)
        if self.is_timestamped and not signs_time:
            raise ValueError("signed should have {timestamp}, or anybody could change the time")
        if signs_time and not self.is_timestamped:
            raise ValueError("{timestamp} needs timestampHeader or fields.timestamp")
        return self

    @property
    def is_timestamped(self) -> bool:
        """Whether a request says when it was signed."""
        return self.timestamp_header is not None or (
            self.fields is not None and self.fields.timestamp is not None
        )


class StandardWebhooks(_Secrets):
    """The sender signs as Standard Webhooks says, version 1 with a shared secret."""

    header_prefix: Header = Field(
        default="webhook",
        description="What the names of the three headers begin with.",
        examples=["svix"],
    )
    tolerance: Tolerance = Field(
        default=_FIVE_MINUTES,
        description="How far the time of the signature may be from ours.",
        examples=["5m"],
    )


class BearerVerification(_Secrets):
    """The sender sends the secret itself. Whoever reads one request can send others."""

    header: Header = Field(
        default="authorization",
        description="The header with the secret.",
        examples=["x-gitlab-token"],
    )
    prefix: Text | None = Field(
        default=None,
        description="What stands before the secret in the header. Default: `Bearer ` in the "
        "header authorization, else nothing.",
        examples=["Token "],
    )

    @property
    def before(self) -> str:
        """What stands before the secret in the header."""
        if self.prefix is not None:
            return self.prefix
        return "Bearer " if self.header.lower() == "authorization" else ""


class NoVerification(Manifest):
    """Requests of anybody are accepted."""


class Verification(Manifest):
    """How a request is verified: exactly one kind."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [kind]} for kind in KINDS]})

    hmac: HmacVerification | None = Field(
        default=None,
        description="The sender signs the request with HMAC and a secret.",
    )
    standard_webhooks: StandardWebhooks | None = Field(
        default=None,
        description="The sender signs the request as Standard Webhooks says.",
        examples=[{"secret": {"secretRef": "shop-hook"}}],
    )
    bearer: BearerVerification | None = Field(
        default=None,
        description="The sender sends the secret itself in a header.",
        examples=[{"secret": {"secretRef": "form-token"}}],
    )
    none: NoVerification | None = Field(
        default=None,
        description="Nothing is verified: anybody who knows the address can send events. Write "
        "`none: {}`; plan warns of it.",
        examples=[{}],
    )

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if len(list(self._given())) != 1:
            raise ValueError(f"write exactly one of {', '.join(KINDS)}")
        return self

    def _given(self) -> Iterator[Manifest]:
        for kind in (self.hmac, self.standard_webhooks, self.bearer, self.none):
            if kind is not None:
                yield kind

    @property
    def is_open(self) -> bool:
        """Whether requests of anybody are accepted."""
        return self.none is not None

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names of its secrets, the current one first; empty without verification."""
        (kind,) = self._given()
        return kind.secret_names if isinstance(kind, _Secrets) else ()

    @property
    def headers(self) -> frozenset[str]:
        """The names, in small letters, of the headers that hold a signature or a secret."""
        if self.hmac is not None:
            return frozenset({self.hmac.header.lower()})
        if self.standard_webhooks is not None:
            return frozenset({f"{self.standard_webhooks.header_prefix.lower()}-signature"})
        return frozenset() if self.bearer is None else frozenset({self.bearer.header.lower()})

    @property
    def text(self) -> str:
        """What is verified, in a few words for a list."""
        if self.hmac is not None:
            timed = f", at most {format_duration(self.hmac.tolerance)} old"
            how = f"hmac {self.hmac.algorithm} in {self.hmac.header.lower()}"
            return how + (timed if self.hmac.is_timestamped else "")
        if self.standard_webhooks is not None:
            return "standard webhooks"
        if self.bearer is not None:
            return f"bearer in {self.bearer.header.lower()}"
        return "none: anybody"
