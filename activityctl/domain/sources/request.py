"""WebRequest: a request as it came, its body as a value, and the scope of its expressions."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl

from activityctl.domain.sources.spec import BodyForm
from activityctl.domain.values.credentials import is_credential_header
from activityctl.domain.values.model import JsonValue
from activityctl.errors import InvalidInputError
from activityctl.frozen_dataclass import frozen_dataclass

MAX_BODY_BYTES: Final = 1024 * 1024
_MOST_FIELDS: Final = 1_000
_COMPRESSIONS: Final = frozenset({"br", "compress", "deflate", "gzip", "x-gzip", "zstd"})
"""Some senders name a charset in Content-Encoding, which is no compression."""
_NUL: Final = "\0"

ReadJson = Callable[[bytes], JsonValue]
"""Returns the value of a strict JSON text; raises InvalidInputError."""


class UnreadableError(Exception):
    """The body or the query of a request cannot be read; the message says why."""


@frozen_dataclass
class WebRequest:
    """A request as it came: nothing is decoded."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    """Names and values in their order."""
    query: str = ""
    """The text after `?`."""
    body: bytes = b""
    sender: str | None = None
    """The address that it came from, if it is known."""

    def header(self, name: str) -> str | None:
        """Return the value of a header; those of one name are joined with commas."""
        found = [value for each, value in self.headers if each.lower() == name.lower()]
        return ", ".join(found) if found else None

    @property
    def content_type(self) -> str:
        """The media type in small letters, without parameters; empty if there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()


def body_form(request: WebRequest, wanted: BodyForm | None) -> BodyForm:
    """Return how the body is read: as `wanted`, else as the Content-Type says."""
    if wanted is not None:
        return wanted
    kind = request.content_type
    if kind.endswith(("/json", "+json")):
        return "json"
    return "form" if kind == "application/x-www-form-urlencoded" else "text"


def body_value(request: WebRequest, wanted: BodyForm | None, read_json: ReadJson) -> JsonValue:
    """Return the body as a value; None if it is empty. Raise UnreadableError."""
    if not request.body:
        return None
    codings = (request.header("content-encoding") or "").lower().split(",")
    if any(coding.strip() in _COMPRESSIONS for coding in codings):
        raise UnreadableError("the body is compressed; let the sender send it as it is")
    match body_form(request, wanted):
        case "json":
            try:
                return read_json(request.body)
            except InvalidInputError as error:
                raise UnreadableError(f"the body is not JSON: {error.message}") from None
        case "form":
            return _fields("body", _text(request.body))
        case "text":
            return _text(request.body)


def scope_of(request: WebRequest, body: JsonValue, hidden: Iterable[str]) -> JsonValue:
    """Return what expressions know as `request`. Raise UnreadableError for its query.

    The headers that are `hidden`, and others that hold credentials, are left out: an event is
    stored, and must not contain them.
    """
    left_out = set(hidden)
    names = {name.lower() for name, _ in request.headers}
    headers = {
        name: request.header(name)
        for name in sorted(names)
        if name not in left_out and not is_credential_header(name)
    }
    return {
        "method": request.method,
        "path": request.path,
        "query": _fields("query", request.query) if request.query else {},
        "headers": headers,
        "body": body,
    }


def _text(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UnreadableError("the body is not UTF-8") from None
    if _NUL in text:
        raise UnreadableError("the body contains NUL")
    return text


def _fields(where: str, text: str) -> Mapping[str, JsonValue]:
    """Return the fields of a form or query; a name that comes several times has a list."""
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except UnicodeDecodeError:
        raise UnreadableError(f"the {where} is not UTF-8") from None
    except ValueError:
        raise UnreadableError(f"the {where} has more than {_MOST_FIELDS:,} fields") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if _NUL in name or _NUL in value:
            raise UnreadableError(f"the {where} contains NUL")
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
