"""The fields of the `http` task, with the checks that need no network."""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from activityctl.domain.values.model import Manifest, is_written
from activityctl.domain.values.secret_ref import SecretJson, SecretRef, SecretText, on_text
from activityctl.domain.values.text import TEXT_SCHEMA, Text
from activityctl.errors import DestinationForbiddenError
from activityctl.executors.address import is_path, parse_url, with_query

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110, section 5.6.2."""
_RESERVED_HEADERS: Final = frozenset(
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
_STATUS: Final = re.compile(r"[1-5]xx|[1-5][0-9]{2}")
_FINAL_STATUS: Final = re.compile(r"[2-5]xx|[2-5][0-9]{2}")


def _url(text: str) -> str:
    if not text:
        raise ValueError("should not be empty: write https://…")
    if not is_path(text):
        try:
            parse_url(text)
        except DestinationForbiddenError as error:
            hint = f"; {error.hint}" if error.hint else ""
            raise ValueError(f"{error.message}{hint}") from None
    return text


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("is not a valid name of a header")
    if name.lower() in _RESERVED_HEADERS:
        raise ValueError("is a header that activityctl sets; remove it")
    return name


def check_header_value(value: str) -> str:
    """Return the value of a header; raise ValueError for one that cannot be sent."""
    if re.search("[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ValueError("a header must not contain line ends or other control characters")
    if value != value.strip(" \t"):
        raise ValueError("a header must not begin or end with a space")
    return value


def _headers(
    headers: dict[str, str | SecretRef], info: ValidationInfo
) -> dict[str, str | SecretRef]:
    seen: dict[str, str] = {}
    for name in headers if is_written(info) else ():
        if (first := seen.setdefault(name.lower(), name)) != name:
            raise ValueError(f"{first} and {name} are the same header; write one of them")
    return headers


def _status(value: int | str, info: ValidationInfo) -> int | str:
    if not _STATUS.fullmatch(str(value)):
        raise ValueError("should be a status code such as 404, or a class such as 2xx")
    if is_written(info) and not _FINAL_STATUS.fullmatch(str(value)):
        raise ValueError("is never the status of a response; write 200 to 599, or 2xx to 5xx")
    return value


def _to_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[SecretText, AfterValidator(on_text(check_header_value))]
Status = Annotated[int | str, AfterValidator(_status)]
_STATUS_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 200, "maximum": 599},
        {"type": "string", "pattern": f"^({_FINAL_STATUS.pattern})$"},
    ]
}
Texts = Annotated[
    list[Text],
    BeforeValidator(_to_list),
    WithJsonSchema({"anyOf": [TEXT_SCHEMA, {"type": "array", "items": TEXT_SCHEMA}]}),
]
"""One text or a list of texts."""


class HttpBody(Manifest):
    """Sends one HTTP request. A response may have 1 MiB of body and 64 KiB of headers."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {"required": ["json", "body"], "properties": {"body": {"type": "string"}}}
        }
    )

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = Field(
        default="GET", description="The method of the request.", examples=["POST"]
    )
    url: Annotated[str, AfterValidator(_url)] = Field(
        description="The URL of the request: https, without user and password. It is sent as "
        "written.",
        examples=["https://risk.example/score"],
    )
    headers: Annotated[dict[HeaderName, HeaderValue], AfterValidator(_headers)] = Field(
        default={},
        description="Headers to send, in addition to those that activityctl sets; a value may be "
        "{secretRef: NAME}.",
        examples=[{"Accept": "application/json"}],
        json_schema_extra={"propertyNames": {"pattern": f"^(?:{_TOKEN.pattern})$"}},
    )
    query: dict[str, Texts] = Field(
        default={},
        description="Query parameters to add at the end of the URL, percent-encoded; a list "
        "repeats its key. Pairs are sent in the order of their names, not of the file. What the "
        "URL already has is not changed; put a query that is signed into `url`.",
        examples=[{"page": 1, "tag": ["a", "b"]}],
    )
    json_value: SecretJson = Field(
        default=None,
        alias="json",
        description="The body of the request, sent as JSON; not together with `body`. A value in "
        "it may be {secretRef: NAME}.",
        examples=[{"run": "${ run.id }"}],
    )
    body: Text | None = Field(
        default=None,
        description="The body of the request, sent as text; not together with `json`.",
        examples=["${ run.id }"],
    )
    expect: Annotated[
        list[Status],
        BeforeValidator(_to_list),
        Field(min_length=1),
        WithJsonSchema(
            {"anyOf": [_STATUS_SCHEMA, {"type": "array", "items": _STATUS_SCHEMA, "minItems": 1}]}
        ),
    ] = Field(
        default=["2xx"],
        description="Status codes or classes that mean success, from 200 to 599.",
        examples=[["2xx", 404]],
    )

    @model_validator(mode="after")
    def _has_one_content(self) -> Self:
        if self.sends_json and self.body is not None:
            raise ValueError("json and body cannot be combined; give one of them")
        return self

    @model_validator(mode="after")
    def _fits_one_url(self) -> Self:
        if not is_path(self.url):
            parse_url(with_query(self.url, self.query))
        return self

    @property
    def sends_json(self) -> bool:
        """Whether `json` is given; `json: null` sends the JSON value null."""
        return "json_value" in self.model_fields_set

    def expects(self, status: int) -> bool:
        """Return whether this status means success."""
        return any(str(wanted) in {str(status), f"{status // 100}xx"} for wanted in self.expect)
