"""JSON answers, in the same form as `-o json` of the command line, with ETag."""

import hashlib
import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response


def json_response(
    view: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer with this JSON."""
    body = json.dumps(view, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Response(body, status, dict(headers or {}), media_type="application/json")


def tagged_response(request: Request, view: object, edited: str | None = None) -> Response:
    """Return the answer with its ETag; 304 without a body if the client has the same already.

    The tag begins with `edited`, which stands for the part of the view that can be changed.
    """
    answer = json_response(view)
    whole = _tag(bytes(answer.body))
    tag = f'"{whole}"' if edited is None else f'"{edited}-{whole}"'
    known = [part.strip().removeprefix("W/") for part in _known(request).split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers={"ETag": tag})
    answer.headers["ETag"] = tag
    return answer


def tag_of(view: object) -> str:
    """Return the ETag of the answer with this JSON, without quotes."""
    return _tag(bytes(json_response(view).body))


def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def _known(request: Request) -> str:
    return request.headers.get("if-none-match", "")
