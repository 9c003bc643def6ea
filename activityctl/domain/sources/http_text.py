"""Reads a saved HTTP request: a request line, headers, an empty line, and the body."""

import re
from typing import Final
from urllib.parse import unquote

from activityctl.domain.sources.request import MAX_BODY_BYTES, WebRequest
from activityctl.errors import InvalidInputError

_LINE: Final = re.compile(r"([A-Z]{1,20}) (\S{1,8000})(?: HTTP/[0-9.]+)?")
_HEADER: Final = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}):[ \t]*(.*?)[ \t]*")
_MOST_HEADERS: Final = 200
_EXAMPLE: Final = "POST /v1/sources/NAME HTTP/1.1"


def read_http_text(content: bytes, name: str) -> WebRequest:
    """Return the request that a file has; lines may end with CRLF or LF.

    With Content-Length the body has so many bytes: a line end that an editor has added after it
    does not count. Without it, everything after the empty line is the body. Raise
    InvalidInputError, which names the file and the line.
    """
    head, body = _split(content)
    lines = head.decode("latin-1").splitlines()
    first = _LINE.fullmatch(lines[0]) if lines else None
    if first is None:
        raise InvalidInputError(
            f"{name}:1: is no HTTP request line", hint=f"the first line is such as {_EXAMPLE}"
        )
    headers = tuple(_header(line, name, number) for number, line in enumerate(lines[1:], 2))
    if len(headers) > _MOST_HEADERS:
        raise InvalidInputError(f"{name}: has more than {_MOST_HEADERS} headers")
    target = re.sub(r"^https?://[^/?]*", "", first[2]) or "/"
    path, _, query = target.partition("?")
    request = WebRequest(first[1], unquote(path), headers, query, body)
    if request.header("transfer-encoding") is not None:
        raise InvalidInputError(
            f"{name}: the body has a Transfer-Encoding, which is not read here",
            hint="save the body as it is, with a Content-Length",
        )
    return _with_length(request, name)


def _split(content: bytes) -> tuple[bytes, bytes]:
    """Return the text before and the bytes after the first empty line."""
    end = re.search(rb"\r?\n\r?\n", content)
    return (
        (content.rstrip(), b"") if end is None else (content[: end.start()], content[end.end() :])
    )


def _header(line: str, name: str, number: int) -> tuple[str, str]:
    found = _HEADER.fullmatch(line)
    if found is None:
        raise InvalidInputError(
            f"{name}:{number}: is no header",
            hint="a header is NAME: VALUE; an empty line ends the headers",
        )
    return found[1], found[2]


def _with_length(request: WebRequest, name: str) -> WebRequest:
    """Return the request with as much of its body as Content-Length says."""
    text, body = request.header("content-length"), request.body
    if text is not None:
        if not re.fullmatch(r"[0-9]{1,12}", text):
            raise InvalidInputError(f"{name}: Content-Length is no number")
        length = int(text)
        if length > len(body):
            raise InvalidInputError(
                f"{name}: Content-Length is {length:,}, but the body has {len(body):,} bytes",
                hint="save the whole body, without changes; or remove the header",
            )
        body = body[:length]
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInputError(f"{name}: the body has more than {MAX_BODY_BYTES:,} bytes")
    return WebRequest(request.method, request.path, request.headers, request.query, body)
