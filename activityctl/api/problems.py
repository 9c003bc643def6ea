"""Errors as HTTP answers: problem details (RFC 9457), the status, and what the client may do."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from activityctl.api.refusals import HttpRefusedError
from activityctl.domain.values.json_form import problem_view
from activityctl.errors import (
    ActivityctlError,
    AmbiguousError,
    ConflictError,
    InternalError,
    InvalidEventError,
    InvalidInputError,
    InvalidManifestsError,
    NotAllowedError,
    NotFoundError,
    RefusedError,
    ServerNotReadyError,
    TooSlowError,
    UnreachableError,
    UsageError,
    WaitTimeoutError,
)

CONTENT_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:activityctl:problem:"
"""The beginning of `type`, before the code: there is no page to open, so it is no URL."""
OUTAGE_SECONDS: Final = 2.0
"""After how long a client may try again while Postgres is away."""
_STATUSES: Final[tuple[tuple[type[ActivityctlError], int], ...]] = (
    (ServerNotReadyError, 503),
    (TooSlowError, 504),
    (UnreachableError, 503),
    (AmbiguousError, 409),
    (ConflictError, 409),
    (RefusedError, 409),
    (NotFoundError, 404),
    (NotAllowedError, 403),
    (WaitTimeoutError, 504),
    (UsageError, 400),
    (InvalidInputError, 400),
)
"""The status of each kind of error; the first kind that fits counts."""


def status_of(error: ActivityctlError) -> int:
    """Return the HTTP status of an error; 500 for one of ours."""
    if isinstance(error, HttpRefusedError):
        return error.status
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem_of(error: ActivityctlError, request_id: str) -> dict[str, Any]:
    """Return the problem details of an error; for manifests with the list of all findings."""
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        error = InternalError("the server has a bug; its log has the request's id")
    problem = {
        "type": TYPE + error.code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "hint": error.hint,
        "retryable": error.retryable,
        "requestId": request_id,
    }
    if isinstance(error, InvalidManifestsError):
        problem["findings"] = [problem_view(finding) for finding in error.problems]
    if isinstance(error, InvalidEventError):
        problem["field"] = error.field or None
    return problem


def problem_response(error: ActivityctlError, request_id: str) -> Response:
    """Return the answer for an error."""
    return respond(problem_of(error, request_id), headers_of(error))


def respond(problem: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer with these problem details."""
    return Response(
        json.dumps(problem), problem["status"], dict(headers or {}), media_type=CONTENT_TYPE
    )


def headers_of(error: ActivityctlError) -> dict[str, str]:
    """Return the headers that tell a client what it may do now."""
    headers = {}
    status = status_of(error)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, HttpRefusedError) and error.closes:
        headers["Connection"] = "close"
    seconds = getattr(error, "retry_after", None)
    if seconds is None and status == HTTPStatus.SERVICE_UNAVAILABLE:
        seconds = OUTAGE_SECONDS
    if seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return headers
