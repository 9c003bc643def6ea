"""The fields of the `http` task, with the checks that need no network."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from activityctl.domain.cel.expression import json_text
from activityctl.domain.values.model import JsonValue, Manifest, is_written
from activityctl.domain.values.secret_ref import SecretJson, SecretRef
from activityctl.domain.values.text import Text
from activityctl.errors import DestinationForbiddenError
from activityctl.executors.address import is_path, parse_url, with_query
from activityctl.executors.http_parts import (
    TOKEN,
    FilePart,
    HeaderName,
    HeaderValue,
    HttpAuth,
    Paging,
    SecretTexts,
    to_list,
)

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_REFUSED_METHODS: Final = {
    "CONNECT": "opens a tunnel, which no task needs",
    "TRACE": "returns the credentials of the request",
}
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


def _method(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_-]{0,31}", name):
        shown = f": write {name.upper()}" if name.isalpha() and name.isascii() else ""
        raise ValueError(f"is not a method{shown}, such as GET or POST")
    if (reason := _REFUSED_METHODS.get(name)) is not None:
        raise ValueError(f"{name} is not allowed: it {reason}")
    return name


def _headers(
    value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> dict[str, str | SecretRef]:
    """Return the headers; raise ValueError for all faults at once, also for what is repeated."""
    names = [str(name) for name in value] if is_written(info) and isinstance(value, dict) else []
    reasons = list(_repeated(names))
    try:
        headers: dict[str, str | SecretRef] = handler(value)
    except ValidationError as error:
        details = [
            _detail(fault["type"], fault["msg"], fault["loc"], fault["input"])
            for fault in error.errors(include_url=False, include_context=False)
        ]
        details += [_detail("value_error", reason, (), value) for reason in reasons]
        raise ValidationError.from_exception_data(error.title, details) from None
    if reasons:
        raise ValueError("; ".join(reasons))
    return headers


def _repeated(names: Iterable[str]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name in names:
        if (first := seen.setdefault(name.lower(), name)) != name:
            yield f"{first} and {name} are the same header; write one of them"


def _detail(kind: str, message: str, loc: tuple[int | str, ...], value: Any) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=loc, input=value)


def _status(value: int | str, info: ValidationInfo) -> int | str:
    if not _STATUS.fullmatch(str(value)):
        raise ValueError("should be a status code such as 404, or a class such as 2xx")
    if is_written(info) and not _FINAL_STATUS.fullmatch(str(value)):
        raise ValueError("is never the status of a response; write 200 to 599, or 2xx to 5xx")
    return value


Status = Annotated[int | str, AfterValidator(_status)]
_STATUS_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 200, "maximum": 599},
        {"type": "string", "pattern": f"^({_FINAL_STATUS.pattern})$"},
    ]
}
_CONTENTS: Final = ("json", "form", "body", "file")


def _never_both(first: str, second: str) -> dict[str, JsonValue]:
    given = {name: {"not": {"type": "null"}} for name in (first, second) if name != "json"}
    return {"not": {"required": [first, second], "properties": given}}


class HttpBody(Manifest):
    """Sends one HTTP request. A response may have 1 MiB of body and 64 KiB of headers."""

    model_config = ConfigDict(
        json_schema_extra={"allOf": [_never_both(*pair) for pair in combinations(_CONTENTS, 2)]}
    )

    method: Annotated[
        str,
        AfterValidator(_method),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "enum": list(METHODS)},
                    {"type": "string", "pattern": "^[A-Z][A-Z0-9_-]{0,31}$"},
                ]
            }
        ),
    ] = Field(default="GET", description="The method of the request.", examples=["POST"])
    url: Annotated[str, AfterValidator(_url)] = Field(
        description="The URL of the request: https, without user and password. It is sent as "
        "written.",
        examples=["https://risk.example/score"],
    )
    headers: Annotated[dict[HeaderName, HeaderValue], WrapValidator(_headers)] = Field(
        default={},
        description="Headers to send, in addition to those that activityctl sets; a value may be "
        "{secretRef: NAME}.",
        examples=[{"Accept": "application/json"}],
        json_schema_extra={"propertyNames": {"pattern": f"^(?:{TOKEN.pattern})$"}},
    )
    auth: HttpAuth | None = Field(
        default=None,
        description="Who the request is from: `bearer`, `basic` or `hmac`. It is sent to the host "
        "of `url` alone.",
        examples=[{"bearer": {"secretRef": "crm-token"}}],
    )
    query: dict[str, SecretTexts] = Field(
        default={},
        description="Query parameters to add at the end of the URL, percent-encoded; a list "
        "repeats its key. Pairs are sent in the order of their names, not of the file. What the "
        "URL already has is not changed; put a query that is signed into `url`. A value may be "
        "{secretRef: NAME}.",
        examples=[{"page": 1, "tag": ["a", "b"]}],
    )
    json_value: SecretJson = Field(
        default=None,
        alias="json",
        description="The body of the request, sent as JSON. A value in it may be "
        "{secretRef: NAME}. There is at most one of `json`, `form`, `body` and `file`.",
        examples=[{"run": "${ run.id }"}],
    )
    form: dict[str, SecretTexts] | None = Field(
        default=None,
        description="The fields of a form, sent as a browser does; a list repeats its key, and a "
        "value may be {secretRef: NAME}. With `files` it is sent as multipart/form-data.",
        examples=[{"grant_type": "client_credentials", "client_secret": {"secretRef": "crm"}}],
    )
    files: dict[str, FilePart] | None = Field(
        default=None,
        description="Files of a form, by the name of their field, sent as multipart/form-data.",
        examples=[{"report": {"filename": "report.csv", "content": "a,b"}}],
    )
    body: Text | None = Field(
        default=None,
        description="The body of the request, sent as text.",
        examples=["${ run.id }"],
    )
    file: FilePart | None = Field(
        default=None,
        description="A file that is the body of the request.",
        examples=[{"path": "/srv/reports/latest.pdf", "contentType": "application/pdf"}],
    )
    expect: Annotated[
        list[Status],
        BeforeValidator(to_list),
        Field(min_length=1),
        WithJsonSchema(
            {"anyOf": [_STATUS_SCHEMA, {"type": "array", "items": _STATUS_SCHEMA, "minItems": 1}]}
        ),
    ] = Field(
        default=["2xx"],
        description="Status codes or classes that mean success, from 200 to 599.",
        examples=[["2xx", 404]],
    )
    response: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="What the body of the response must be: `json` fails the attempt if it is "
        "not JSON, whatever its media type; `text` never reads it as JSON; `auto` follows its "
        "media type. Default: auto.",
        examples=["json"],
    )
    paginate: Paging | None = Field(
        default=None,
        description="Reads further pages and returns the items of all. `{}` follows the `Link` "
        "header. Default: one page.",
        examples=[{"next": "response.json.next", "items": "response.json.items"}],
    )

    @model_validator(mode="after")
    def _has_one_content(self) -> Self:
        given = [
            name
            for name, is_given in (
                ("json", self.sends_json),
                ("form", self.form is not None or self.files is not None),
                ("body", self.body is not None),
                ("file", self.file is not None),
            )
            if is_given
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot be combined; give one of them")
        return self

    @model_validator(mode="after")
    def _is_from_one(self) -> Self:
        names = {name.lower() for name in self.headers}
        if self.auth is not None and self.auth.hmac is None and "authorization" in names:
            raise ValueError("auth and the header Authorization cannot be combined")
        return self

    @model_validator(mode="after")
    def _fits_one_url(self) -> Self:
        if not is_path(self.url):
            parse_url(with_query(self.url, self.query))
        return self

    @model_validator(mode="after")
    def _can_send_the_next_page(self) -> Self:
        if self.paginate is None or self.paginate.next_in == "query":
            return self
        if self.paginate.next is None:
            raise ValueError("paginate.nextIn has no effect without paginate.next")
        if not self.sends_json and self.form is None:
            raise ValueError("paginate.nextIn: body needs json or form, which it is merged into")
        return self

    def with_fields(self, fields: Mapping[str, JsonValue]) -> Self:
        """Return the body with these fields merged into its `json`, or into its `form`.

        Raises ValueError if `json` is not a map.
        """
        if not self.sends_json:
            texts = {name: [json_text(value)] for name, value in fields.items()}
            return self.model_copy(update={"form": {**(self.form or {}), **texts}})
        if not isinstance(self.json_value, dict):
            raise ValueError("json is not a map")  # noqa: TRY004  # it is data of a user
        return self.model_copy(update={"json_value": _merged(self.json_value, fields)})

    @property
    def sends_json(self) -> bool:
        """Whether `json` is given; `json: null` sends the JSON value null."""
        return "json_value" in self.model_fields_set

    def expects(self, status: int) -> bool:
        """Return whether this status means success."""
        return any(str(wanted) in {str(status), f"{status // 100}xx"} for wanted in self.expect)


def _merged(base: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a map with the fields of the other one, maps in it merged in the same way."""
    found = dict(base)
    for name, value in fields.items():
        old = base.get(name)
        both_maps = isinstance(old, dict) and isinstance(value, dict)
        found[name] = _merged(old, value) if both_maps and old is not None else value
    return found
