"""Reads an HTTP response within limits, as text and JSON; does not check the status."""

import codecs
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Literal

from activityctl.domain.values.credentials import MASK, is_credential_header
from activityctl.domain.values.masking import Mask
from activityctl.domain.values.untrusted import parse_storable_json, printable
from activityctl.errors import TaskError
from activityctl.ports import JsonValue

if TYPE_CHECKING:
    import httpx

MAX_BODY_BYTES: Final = 1024 * 1024
"""Counted after decompression."""
QUOTED_CHARACTERS: Final = 500
"""How much of a body a message quotes."""
MAX_HEADER_BYTES: Final = 64 * 1024
_LONGEST_WAIT: Final = 1e9
"""In seconds. A number that is too large counts as the largest (RFC 9111, section 1.2.2)."""
MAX_RAW_BYTES: Final = 2 * MAX_BODY_BYTES
"""Counted before decompression: a body can be long and decompress to nothing."""
MAX_PARTS: Final = 50_000
"""How many chunks a body may have; each costs time, however small it is."""
MAX_GZIP_MEMBERS: Final = 1_000
"""How many gzip streams a body may have, one after the other; each costs time, also empty ones."""
_LIMIT: Final = ", the limit of an http task"
ACCEPTED_ENCODINGS: Final = "gzip, deflate"

_WBITS_OF_ANY_HEADER: Final = zlib.MAX_WBITS | 32
_CHARSETS: Final = frozenset(
    codecs.lookup(name).name
    for name in ("utf-8", "ascii", "latin-1", "cp1252", "iso8859-15", "utf-16")
)
"""Charsets to decode. Python knows others that are slow or not text; UTF-8 is used instead."""


def check_headers(response: "httpx.Response") -> None:
    """Raise TaskError when all headers together are larger than MAX_HEADER_BYTES."""
    if sum(len(name) + len(value) + 4 for name, value in response.headers.raw) > MAX_HEADER_BYTES:
        raise too_large(
            response.request, f"headers with more than {MAX_HEADER_BYTES:,} bytes{_LIMIT}"
        )


def request_label(request: "httpx.Request") -> str:
    """Return method and URL without user, query and fragment, which may contain secrets."""
    url = request.url
    path = url.raw_path.partition(b"?")[0].decode("ascii", errors="replace")
    return f"{request.method} {url.scheme}://{url.netloc.decode('ascii')}{path}"


def too_large(request: "httpx.Request", what: str) -> TaskError:
    """Return the error for a response that is too large."""
    message = f"{request_label(request)}: the response has {what}"
    return TaskError(message, code="response_too_large", retryable=False)


async def read_start(response: "httpx.Response", limit: int) -> bytes:
    """Return at most the first `limit` bytes of the body, decompressed."""
    inflate = _Inflater(
        request_label(response.request), response.headers.get("content-encoding", "")
    )
    content = bytearray()
    raw_bytes = parts = 0
    async for part in response.aiter_raw():
        raw_bytes, parts = raw_bytes + len(part), parts + 1
        if raw_bytes > MAX_RAW_BYTES:
            what = f"a compressed body with more than {MAX_RAW_BYTES:,} bytes{_LIMIT}"
            raise too_large(response.request, what)
        if parts > MAX_PARTS:
            raise too_large(response.request, f"a body in more than {MAX_PARTS:,} parts{_LIMIT}")
        content += inflate(part, limit - len(content))
        if len(content) >= limit:
            return bytes(content)
    if not inflate.is_complete:
        raise inflate.error("the body is incomplete")
    return bytes(content)


async def read_body(response: "httpx.Response") -> bytes:
    """Return the whole body, decompressed. Raises TaskError if it is over MAX_BODY_BYTES."""
    content = await read_start(response, MAX_BODY_BYTES + 1)
    if len(content) > MAX_BODY_BYTES:
        what = f"a body with more than {MAX_BODY_BYTES:,} bytes{_LIMIT}"
        raise too_large(response.request, what)
    return content


def body_text(response: "httpx.Response", content: bytes) -> str:
    """Return the body as text; bytes that are invalid in its charset become U+FFFD."""
    try:
        charset = codecs.lookup(response.charset_encoding or "utf-8").name
    except LookupError:
        charset = "utf-8"
    decoded = content.decode(charset if charset in _CHARSETS else "utf-8", errors="replace")
    return printable(decoded.removeprefix("\ufeff"))


def seconds_to_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of `Retry-After` (RFC 9110, section 10.2.3); None if there are none.

    A date counts from the `Date` of the response, so that a wrong clock here does not matter.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch("[0-9]+", text):
        return min(float(text), _LONGEST_WAIT)
    moment = _http_date(text)
    if moment is None:
        return None
    return max((moment - (_http_date(headers.get("date", "")) or now)).total_seconds(), 0.0)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def output_of(
    response: "httpx.Response", content: bytes, wanted: Literal["auto", "json", "text"], mask: Mask
) -> dict[str, JsonValue]:
    """Return the output of a response; raise TaskError if it must be JSON and is not."""
    value, problem = None, None
    is_json = content != b"" and (wanted == "json" or (wanted == "auto" and _says_json(response)))
    if is_json:
        try:
            value = parse_storable_json(content.decode("utf-8-sig"))
        except ValueError as error:
            problem = f"the body is not JSON that can be stored: {error}"
    if wanted == "json" and (problem is not None or not content):
        raise _not_json(response, content, problem or "the body is empty", mask)
    output: dict[str, JsonValue] = {
        "status": response.status_code,
        "headers": {
            name: MASK if is_credential_header(name) else value
            for name, value in response.headers.items()
        },
        "body": None
        if (is_json and problem is None) or not content
        else body_text(response, content),
        "json": value,
        "bytes": len(content),
    }
    if problem is not None:
        output["jsonError"] = problem
    return output


def _says_json(response: "httpx.Response") -> bool:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type in {"application/json", "text/json"} or media_type.endswith("+json")


def _not_json(response: "httpx.Response", content: bytes, problem: str, mask: Mask) -> TaskError:
    message = f"{request_label(response.request)}: {response.status_code}: {problem}"
    if quoted := body_text(response, content).strip():
        message += f": {mask.text(quoted)[:QUOTED_CHARACTERS]}"
    return TaskError(printable(message), code="invalid_json")


class _Inflater:
    """Decompresses one Content-Encoding, up to a given number of bytes.

    httpx's own decoders decompress all bytes of one read, to a thousand times the size and more.
    """

    def __init__(self, label: str, encoding: str) -> None:
        self._label = label
        encoding = encoding.strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise TaskError(
                f"{label}: unsupported Content-Encoding {encoding[:40]!r} in the response",
                code="bad_response",
                retryable=False,
            )
        self._stream = None if encoding in {"", "identity"} else _decompressor()
        self.is_complete = True
        self._members = 1

    def __call__(self, data: bytes, limit: int) -> bytes:
        if self._stream is None:
            return data[:limit]
        content = b""
        while data and len(content) < limit:
            if self._stream.eof:  # gzip allows several members, one after the other
                self._members += 1
                if self._members > MAX_GZIP_MEMBERS:
                    raise self.error(f"it has more than {MAX_GZIP_MEMBERS:,} gzip members")
                self._stream = _decompressor()
            try:
                content += self._stream.decompress(data, limit - len(content))
            except zlib.error as error:
                raise self.error(str(error)) from error
            data = self._stream.unconsumed_tail or self._stream.unused_data
        self.is_complete = self._stream.eof
        return content

    def error(self, reason: str) -> TaskError:
        return TaskError(
            f"{self._label}: cannot decompress the body: {reason}", code="bad_response"
        )


def _decompressor() -> "zlib._Decompress":
    return zlib.decompressobj(_WBITS_OF_ANY_HEADER)
