"""Builds the request of an `http` task from its fields; does not send it."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from activityctl.errors import DestinationForbiddenError, TaskError
from activityctl.executors.address import is_path, parse_url, with_query
from activityctl.executors.http_body import HttpBody
from activityctl.executors.response import ACCEPTED_ENCODINGS
from activityctl.ports import TaskCall
from activityctl.version import VERSION

if TYPE_CHECKING:
    import httpx


def request_of(
    body: HttpBody, sent: Mapping[str, str], call: TaskCall, own_api: str | None
) -> "httpx.Request":
    """Return the request with the headers `sent`; raise TaskError for one that cannot be sent."""
    import httpx

    try:
        url = parse_url(with_query(_absolute_url(body.url, own_api), body.query))
        media_type, content = _content(body)
        headers = httpx.Headers(
            {
                "User-Agent": f"activityctl/{VERSION}",
                "Accept": "*/*",
                "Idempotency-Key": call.idempotency_key,
                **media_type,
            }
        )
        headers.update(httpx.Headers(sent, encoding="utf-8"))
        headers["Accept-Encoding"] = ACCEPTED_ENCODINGS
        headers["X-Activityctl-Run"] = call.run_id
        headers["X-Activityctl-Attempt"] = str(call.attempt)
        return httpx.Request(body.method, url, headers=headers, content=content)
    except DestinationForbiddenError as error:
        raise forbidden(body.method, error) from error
    except (ValueError, TypeError) as error:  # too long, NaN in json, a lone surrogate in a header
        raise TaskError(
            f"{body.method}: the request is invalid: {error}",
            code="invalid_request",
            retryable=False,
        ) from error


def host_of(url: str, own_api: str | None) -> str:
    """Return `host:port` that a request to this URL connects to; the port is always given."""
    try:
        parsed = parse_url(_absolute_url(url, own_api))
    except (DestinationForbiddenError, ValueError):
        return "an unknown host"  # `request_of` refuses the URL with the reason
    host = parsed.raw_host.decode("ascii")
    port = parsed.port or (80 if parsed.scheme == "http" else 443)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _absolute_url(url: str, own_api: str | None) -> str:
    return own_api.rstrip("/") + url if own_api and is_path(url) else url


def _content(body: HttpBody) -> tuple[dict[str, str], bytes | None]:
    if body.sends_json:  # not left to httpx, which sends nothing for null
        text = json.dumps(
            body.json_value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        return {"Content-Type": "application/json"}, text.encode()
    if body.body is not None:
        return {"Content-Type": "text/plain; charset=utf-8"}, body.body.encode()
    return {}, None


def forbidden(label: str, error: DestinationForbiddenError) -> TaskError:
    """Return the error of an attempt for an address that is not allowed."""
    message = f"{label}: {error.message}" + (f"; {error.hint}" if error.hint else "")
    return TaskError(message, code="destination_forbidden", retryable=False)
