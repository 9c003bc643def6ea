"""Builds the requests of an `http` call from its fields; does not send them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from activityctl.errors import DestinationForbiddenError, TaskError
from activityctl.executors.address import is_path, parse_url, with_query
from activityctl.executors.http_auth import Sign
from activityctl.executors.http_body import HttpBody
from activityctl.executors.http_content import Content
from activityctl.executors.response import ACCEPTED_ENCODINGS
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import ResolveSecret
from activityctl.version import VERSION

if TYPE_CHECKING:
    import httpx


@frozen_dataclass
class Letter:
    """What all pages of one call send: headers with their secrets, content, and signature."""

    method: str
    headers: Mapping[str, str]
    content: Content
    sign: Sign
    run_id: str
    attempt: int
    idempotency_key: str

    def request(self, url: "httpx.URL", page: int = 1) -> "httpx.Request":
        """Return the request of a page; raise TaskError for one that cannot be sent.

        Each page has an idempotency key of its own, the same for every attempt.
        """
        import httpx

        key = self.idempotency_key if page == 1 else f"{self.idempotency_key}/{page}"
        headers = httpx.Headers(
            {
                "User-Agent": f"activityctl/{VERSION}",
                "Accept": "*/*",
                "Idempotency-Key": key,
                **self.content.headers,
            }
        )
        try:
            headers.update(httpx.Headers(dict(self.headers), encoding="utf-8"))
            headers.update(self.sign(key, self.content.data or b""))
            headers["Accept-Encoding"] = ACCEPTED_ENCODINGS
            headers["X-Activityctl-Run"] = self.run_id
            headers["X-Activityctl-Attempt"] = str(self.attempt)
            return httpx.Request(self.method, url, headers=headers, content=self.content.data)
        except (ValueError, TypeError) as error:  # a lone surrogate in a header
            raise _invalid(self.method, error) from error


async def url_of(body: HttpBody, own_api: str | None, secret: ResolveSecret) -> "httpx.URL":
    """Return the URL of the first request; raise TaskError if no setting could allow it."""
    try:
        address = _absolute_url(body.url, own_api)
        host = host_of(parse_url(address))
        query = {
            name: [await secret(value, host=host) for value in values]
            for name, values in body.query.items()
        }
        return parse_url(with_query(address, query))
    except DestinationForbiddenError as error:
        raise forbidden(body.method, error) from error
    except (ValueError, TypeError) as error:  # too long
        raise _invalid(body.method, error) from error


def host_of(url: "httpx.URL") -> str:
    """Return `host:port` that a request to this URL connects to; the port is always given."""
    host = url.raw_host.decode("ascii")
    port = url.port or (80 if url.scheme == "http" else 443)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _absolute_url(url: str, own_api: str | None) -> str:
    return own_api.rstrip("/") + url if own_api and is_path(url) else url


def forbidden(label: str, error: DestinationForbiddenError) -> TaskError:
    """Return the error of an attempt for an address that is not allowed."""
    message = f"{label}: {error.message}" + (f"; {error.hint}" if error.hint else "")
    return TaskError(message, code="destination_forbidden", retryable=False)


def _invalid(label: str, error: Exception) -> TaskError:
    return TaskError(
        f"{label}: the request is invalid: {error}", code="invalid_request", retryable=False
    )
