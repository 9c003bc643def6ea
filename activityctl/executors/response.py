"""Reading a stranger's HTTP response within bounds, into text and JSON; judging it is not here."""

import codecs
import zlib
from typing import TYPE_CHECKING, Final

from activityctl.domain.values.untrusted import parse_storable_json, printable
from activityctl.errors import TaskError
from activityctl.ports import JsonValue

if TYPE_CHECKING:
    import httpx

MAX_BODY_BYTES: Final = 1024 * 1024
"""SECURITY: counted after decompression."""
MAX_HEADER_BYTES: Final = 64 * 1024
ACCEPTED_ENCODINGS: Final = "gzip, deflate"

_WBITS_OF_ANY_HEADER: Final = zlib.MAX_WBITS | 32
_CHARSETS: Final = frozenset(
    codecs.lookup(name).name
    for name in ("utf-8", "ascii", "latin-1", "cp1252", "iso8859-15", "utf-16")
)
"""Python also decodes charsets that are slow or no text at all; those are read as UTF-8."""


def check_headers(response: "httpx.Response") -> None:
    """Raise TaskError when the headers are larger than MAX_HEADER_BYTES together."""
    if sum(len(name) + len(value) + 4 for name, value in response.headers.raw) > MAX_HEADER_BYTES:
        raise too_large(response.request, f"headers over {MAX_HEADER_BYTES} bytes")


def request_label(request: "httpx.Request") -> str:
    """Return method and URL, without what may hold secrets: user, query and fragment."""
    url = request.url
    path = url.raw_path.partition(b"?")[0].decode("ascii", errors="replace")
    return f"{request.method} {url.scheme}://{url.netloc.decode('ascii')}{path}"


def too_large(request: "httpx.Request", what: str) -> TaskError:
    """Return the error of a response that is larger than we take."""
    message = f"{request_label(request)}: the response has {what}"
    return TaskError(message, code="response_too_large", retryable=False)


async def read_start(response: "httpx.Response", limit: int) -> bytes:
    """Return at most `limit` bytes of the body, decompressed, and read no further."""
    inflate = _Inflater(
        request_label(response.request), response.headers.get("content-encoding", "")
    )
    content = bytearray()
    async for part in response.aiter_raw():
        content += inflate(part, limit - len(content))
        if len(content) >= limit:
            return bytes(content)
    if not inflate.is_complete:
        raise inflate.broken("it is cut off")
    return bytes(content)


async def read_body(response: "httpx.Response") -> bytes:
    """Return the whole body, decompressed; TaskError when it is over MAX_BODY_BYTES."""
    content = await read_start(response, MAX_BODY_BYTES + 1)
    if len(content) > MAX_BODY_BYTES:
        raise too_large(response.request, f"a body over {MAX_BODY_BYTES} bytes")
    return content


def body_text(response: "httpx.Response", content: bytes) -> str:
    """Return the body as text; what is no text of its charset becomes U+FFFD."""
    try:
        charset = codecs.lookup(response.charset_encoding or "utf-8").name
    except LookupError:
        charset = "utf-8"
    decoded = content.decode(charset if charset in _CHARSETS else "utf-8", errors="replace")
    return printable(decoded.removeprefix("\ufeff"))


def parse_body_json(response: "httpx.Response", content: bytes) -> tuple[bool, JsonValue]:
    """Return whether the body is JSON that we can store, and its value."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {"application/json", "text/json"} and not media_type.endswith("+json"):
        return False, None
    try:
        return True, parse_storable_json(content.decode("utf-8-sig"))
    except ValueError:
        return False, None


class _Inflater:
    """Undoes one Content-Encoding, never making more bytes than there is room for.

    httpx's own decoders inflate whatever one read brought, a thousandfold and more.
    """

    def __init__(self, place: str, encoding: str) -> None:
        self._place = place
        encoding = encoding.strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise TaskError(
                f"{place}: the response has Content-Encoding {encoding[:40]!r}",
                code="bad_response",
                retryable=False,
            )
        self._stream = None if encoding in {"", "identity"} else _decompressor()
        self.is_complete = True

    def __call__(self, data: bytes, room: int) -> bytes:
        if self._stream is None:
            return data[:room]
        content = b""
        while data and len(content) < room:
            if self._stream.eof:  # gzip allows several members, one behind the other
                self._stream = _decompressor()
            try:
                content += self._stream.decompress(data, room - len(content))
            except zlib.error as error:
                raise self.broken(str(error)) from error
            data = self._stream.unconsumed_tail or self._stream.unused_data
        self.is_complete = self._stream.eof
        return content

    def broken(self, reason: str) -> TaskError:
        return TaskError(
            f"{self._place}: the compressed body is broken: {reason}", code="bad_response"
        )


def _decompressor() -> "zlib._Decompress":
    return zlib.decompressobj(_WBITS_OF_ANY_HEADER)
