"""Parts of the `http` body: who the request is from, its files, and its further pages."""

import base64
import binascii
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from activityctl.domain.values.model import Manifest
from activityctl.domain.values.secret_ref import (
    SECRET_REF_SCHEMA,
    SecretText,
    on_text,
)
from activityctl.domain.values.text import TEXT_SCHEMA, FilledText, Text

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110, section 5.6.2."""
RESERVED_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-activityctl-attempt",
        "x-activityctl-run",
    }
)
MAX_PAGES: Final = 1_000
MAX_PAGED_BYTES: Final = 10 * 1024 * 1024


def check_header_value(value: str) -> str:
    """Return the value of a header; raise ValueError if it cannot be sent."""
    if re.search("[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ValueError("a header must not contain line ends or other control characters")
    if value != value.strip(" \t"):
        raise ValueError("a header must not begin or end with a space")
    return value


def _header_name(name: str) -> str:
    if not TOKEN.fullmatch(name):
        raise ValueError("is not a valid name of a header")
    if name.lower() in RESERVED_HEADERS:
        raise ValueError("is a header that activityctl sets; remove it")
    return name


def _user(name: str) -> str:
    if ":" in name:
        raise ValueError("must not contain a colon (RFC 7617)")
    return check_header_value(name)


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
    return text


def to_list(value: Any) -> Any:
    """Return a list of the value, unless it is one."""
    return value if isinstance(value, list) else [value]


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[SecretText, AfterValidator(on_text(check_header_value))]
_SECRET_TEXT_SCHEMA: Final = {"anyOf": [TEXT_SCHEMA, SECRET_REF_SCHEMA]}
SecretTexts = Annotated[
    list[SecretText],
    BeforeValidator(to_list),
    WithJsonSchema(
        {
            "anyOf": [
                TEXT_SCHEMA,
                SECRET_REF_SCHEMA,
                {"type": "array", "items": _SECRET_TEXT_SCHEMA},
            ]
        }
    ),
]
"""One SecretText or a list of them."""


class BasicAuth(Manifest):
    """Sends a user and a password (RFC 7617)."""

    username: Annotated[SecretText, AfterValidator(on_text(_user))] = Field(
        description="The user.", examples=["reports"]
    )
    password: SecretText = Field(
        description="The password.", examples=[{"secretRef": "reports-password"}]
    )


class HmacAuth(Manifest):
    """Signs the request with a key that both sides know."""

    secret: SecretText = Field(description="The key.", examples=[{"secretRef": "hook-key"}])
    scheme: Literal["standardWebhooks", "body"] = Field(
        default="standardWebhooks",
        description="`standardWebhooks` sends `webhook-id`, `webhook-timestamp` and "
        "`webhook-signature`, which sign id, time and body; a key that begins with `whsec_` is "
        "base64. `body` signs the body alone and sends one header, as GitHub does. Default: "
        "standardWebhooks.",
        examples=["body"],
    )
    header: HeaderName = Field(
        default="X-Hub-Signature-256",
        description="The header of the scheme `body`. Default: X-Hub-Signature-256.",
        examples=["X-Signature"],
    )
    algorithm: Literal["sha256", "sha512"] = Field(
        default="sha256",
        description="The hash of the scheme `body`. Default: sha256.",
        examples=["sha512"],
    )
    prefix: Text = Field(
        default="sha256=",
        description="What stands before the signature of the scheme `body`. Default: sha256=.",
        examples=[""],
    )
    encoding: Literal["hex", "base64"] = Field(
        default="hex",
        description="How the signature of the scheme `body` is written. Default: hex.",
        examples=["base64"],
    )

    @model_validator(mode="after")
    def _fits_its_scheme(self) -> Self:
        of_body = {"header", "algorithm", "prefix", "encoding"} & self.model_fields_set
        if self.scheme == "standardWebhooks" and of_body:
            raise ValueError(f"{min(of_body)} has no effect without scheme: body")
        return self


class HttpAuth(Manifest):
    """Who the request is from: exactly one of the fields."""

    bearer: HeaderValue | None = Field(
        default=None,
        description="A token, sent as `Authorization: Bearer …`.",
        examples=[{"secretRef": "crm-token"}],
    )
    basic: BasicAuth | None = Field(
        default=None,
        description="A user and a password, sent as `Authorization: Basic …`.",
    )
    hmac: HmacAuth | None = Field(
        default=None, description="A signature of the request by a common key."
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in ("bearer", "basic", "hmac") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("exactly one of bearer, basic and hmac is needed")
        return self


class FilePart(Manifest):
    """A file to send: exactly one of `content`, `base64` and `path`."""

    filename: FilledText | None = Field(
        default=None,
        description="The name that the server sees. Default: the name in `path`, or none.",
        examples=["report.csv"],
    )
    content_type: Annotated[Text, AfterValidator(check_header_value)] = Field(
        default="application/octet-stream",
        description="The media type. Default: application/octet-stream.",
        examples=["text/csv"],
    )
    content: Text | None = Field(
        default=None,
        description="The content as text, sent in UTF-8.",
        examples=["${ tasks.report.output.stdout }"],
    )
    base64: Annotated[Text, AfterValidator(_base64)] | None = Field(
        default=None, description="The content in base64, for bytes.", examples=["aGVsbG8="]
    )
    path: FilledText | None = Field(
        default=None,
        description="A file of the worker, in one of the folders that its settings allow.",
        examples=["/srv/reports/latest.pdf"],
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in ("content", "base64", "path") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("exactly one of content, base64 and path is needed")
        return self


class Paging(Manifest):
    """How to read the further pages of a response, and how many at most."""

    next: str | None = Field(
        default=None,
        description="A CEL expression for the next page, evaluated on each `response`: a URL, "
        'relative or of the same host, or a map of query parameters. Null, "", an empty map, and '
        "a map with an empty value mean the last page. Default: the URL of the `Link` header with "
        "rel=next.",
        examples=['{"cursor": response.json.next_cursor}'],
    )
    next_in: Literal["query", "body"] = Field(
        default="query",
        description="Where the fields of a map that `next` gives are sent: in the `query`, or in "
        "the `body`, merged into `json` or `form`. Default: query.",
        examples=["body"],
    )
    items: str = Field(
        default="response.json",
        description="A CEL expression for the list of one page, evaluated on each `response`. "
        "Default: response.json.",
        examples=["response.json.items"],
    )
    max_pages: int = Field(
        default=100,
        ge=1,
        le=MAX_PAGES,
        description="The most pages to read. Default: 100.",
        examples=[20],
    )
    max_bytes: int = Field(
        default=MAX_PAGED_BYTES // 2,
        ge=1,
        le=MAX_PAGED_BYTES,
        description="The most bytes of all pages, decompressed, up to 10 MiB. Default: 5 MiB.",
        examples=[1048576],
    )
    on_limit: Literal["fail", "stop"] = Field(
        default="fail",
        description="What happens when there are more pages: `fail` fails the attempt, `stop` "
        "returns what was read, with `complete: false`. Default: fail.",
        examples=["stop"],
    )
