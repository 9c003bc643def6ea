"""The errors of http calls: what failed, and whether another attempt may succeed."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from activityctl.domain.values.masking import Mask
from activityctl.domain.values.untrusted import printable
from activityctl.errors import TaskError
from activityctl.executors.response import (
    QUOTED_CHARACTERS,
    body_text,
    read_start,
    request_label,
    seconds_to_wait,
    too_large,
)

if TYPE_CHECKING:
    import httpx

_QUOTED_BYTES: Final = 4 * QUOTED_CHARACTERS
_RETRYABLE_STATUSES: Final = frozenset({408, 425, 429})
_FIRST_SERVER_ERROR: Final = 500
_HEADER_LINE_TOO_LARGE: Final = 431


def transport_error(request: "httpx.Request", error: "httpx.TransportError") -> TaskError:
    """Return the error of an attempt whose conversation with the server failed."""
    import httpx

    from activityctl.executors.destination import LongHeadError

    label = request_label(request)
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return TaskError(f"{label}: {error}", code="invalid_request", retryable=False)
    if isinstance(error, httpx.RemoteProtocolError):
        origin = error.__cause__.args[0] if error.__cause__ and error.__cause__.args else None
        if isinstance(origin, LongHeadError):
            return too_large(request, str(origin))
        if getattr(origin, "error_status_hint", None) == _HEADER_LINE_TOO_LARGE:
            return too_large(request, "a header line that does not end")
        return TaskError(f"{label}: {error}", code="bad_response")
    return TaskError(f"{label}: {error or type(error).__name__}", code="unreachable")


async def unexpected_status(response: "httpx.Response", mask: Mask) -> TaskError:
    """Return the error; `mask` is applied to what the response says before that is cut."""
    status = response.status_code
    message = f"{request_label(response.request)}: {status} {response.reason_phrase}".rstrip()
    if location := response.headers.get("location"):
        message += (
            f": redirects to {mask.text(location)[:QUOTED_CHARACTERS]}, which is not followed"
        )
    try:
        quoted = body_text(response, await read_start(response, _QUOTED_BYTES)).strip()
    except TaskError as error:
        quoted = error.message
    if quoted:
        message += f": {mask.beginning(quoted)[:QUOTED_CHARACTERS]}"
    may_retry = status >= _FIRST_SERVER_ERROR or status in _RETRYABLE_STATUSES
    return TaskError(
        printable(message),
        code="unexpected_status",
        retryable=may_retry,
        retry_after_seconds=seconds_to_wait(response.headers, datetime.now(UTC)),
        status=status,
    )
