"""Answers that are no success as errors: problem details, and what is no answer of ours."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from activityctl.errors import (
    ActivityctlError,
    AmbiguousError,
    ConflictError,
    DestinationForbiddenError,
    ExpressionBudgetError,
    ExpressionError,
    InternalError,
    InvalidEventError,
    InvalidInputError,
    InvalidManifestsError,
    NotAllowedError,
    NotFoundError,
    OutcomeUnknownError,
    OutdatedPlanError,
    Problem,
    RefusedError,
    SchemaMismatchError,
    TooSlowError,
    UnreachableError,
    UnstorableError,
    UsageError,
    WaitTimeoutError,
)
from activityctl.version import VERSION

ENDED: Final = "token_ended"
"""The code of a token that was valid when the request came."""
_KINDS: Final[Mapping[str, type[ActivityctlError]]] = {
    kind.code: kind
    for kind in (
        *(AmbiguousError, ConflictError, DestinationForbiddenError, ExpressionBudgetError),
        *(ExpressionError, InternalError, InvalidInputError, NotAllowedError, NotFoundError),
        *(RefusedError, TooSlowError, UnreachableError, UnstorableError, UsageError),
        *(OutcomeUnknownError, WaitTimeoutError),
    )
}
_OF_HTTP: Final[Mapping[str, type[ActivityctlError]]] = {
    "foreign_origin": NotAllowedError,
    ENDED: NotAllowedError,
    "body_too_large": InvalidInputError,
    "busy": UnreachableError,
    "too_many_requests": UnreachableError,
    "request_timeout": UnreachableError,
    "no_key_store": RefusedError,
}
NO_PATH: Final = "there is nothing at this path"
"""What the API says of a path that it does not have; an object that is absent has a name."""


def error_of(status: int, problem: Mapping[str, Any], url: str) -> ActivityctlError:
    """Return the error of problem details (RFC 9457), as the operation there has raised it."""
    code, message = str(problem.get("code")), str(problem.get("detail"))
    hint = problem.get("hint")
    if code == InvalidEventError.code:
        field = problem.get("field") or ""
        return InvalidEventError(str(field), message.removeprefix(f"{field}: "))
    if code == InvalidManifestsError.code:
        return InvalidManifestsError(problems_in(problem.get("findings") or ()), hint=str(hint))
    return _of_status(status, problem, url) or _made(
        _kind_of(status, code), message, None if hint is None else str(hint)
    )


def _of_status(status: int, problem: Mapping[str, Any], url: str) -> ActivityctlError | None:
    """Return the error of a status that says more here than the problem; None for others."""
    message = str(problem.get("detail"))
    if status == HTTPStatus.UNAUTHORIZED and problem.get("code") != ENDED:
        return unauthorized(url)
    if status == HTTPStatus.PRECONDITION_FAILED:
        return OutdatedPlanError(message, hint=_PLAN_AGAIN)
    if status == HTTPStatus.METHOD_NOT_ALLOWED or message == NO_PATH:
        return UnreachableError(f"{url} does not know this request", hint=_VERSIONS)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        request = problem.get("requestId")
        return UnreachableError(
            f"{url} has failed by a bug of its own",
            hint=f"look into the log of the server for the request {request}",
        )
    return None


def _kind_of(status: int, code: str) -> type[ActivityctlError]:
    if status == HTTPStatus.SERVICE_UNAVAILABLE and code == RefusedError.code:
        return SchemaMismatchError
    return _KINDS.get(code) or _OF_HTTP.get(code) or UsageError


def problems_in(findings: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Return the findings about manifests."""
    return [
        Problem(
            each.get("file") or "",
            each.get("line") or 0,
            each.get("column") or 0,
            each.get("path") or "",
            str(each.get("message")),
        )
        for each in findings
    ]


def _made(kind: type[ActivityctlError], message: str, hint: str | None) -> ActivityctlError:
    """Return an error of the kind, whose own constructor would build another message."""
    error = kind.__new__(kind)
    ActivityctlError.__init__(error, message, hint=hint)
    return error


def unauthorized(url: str) -> NotAllowedError:
    """Return the error for a token that the server does not take, or for none."""
    return NotAllowedError(
        f"{url} does not accept the token",
        hint="make one on its machine (activityctl tokens create NAME --scope SCOPE), and name "
        "where it is kept: ACTIVITYCTL_TOKEN_REF=env:NAME, file:/PATH or keyring:SERVICE/ENTRY",
    )


def no_answer_of_ours(url: str, status: int, what: str) -> UnreachableError:
    """Return the error for an answer that no server of ours gives."""
    return UnreachableError(
        f"{url} answers with the status {status} and {what}, so it is no HTTP API of activityctl",
        hint="correct the address, or look at what stands before the server: "
        "activityctl config show",
    )


def redirected(url: str, status: int) -> UnreachableError:
    """Return the error for a redirect; it is not followed, because the token is for one host."""
    return UnreachableError(
        f"{url} answers with a redirect ({status}), which is not followed",
        hint="set the address that the server itself has: activityctl config show",
    )


def other_version(version: str) -> str:
    """Return what an error adds if the server has another version."""
    return f"the server has the version {version}, and this is {VERSION}"


_PLAN_AGAIN: Final = "make and review a new one: activityctl plan -f ... --out FILE"
_VERSIONS: Final = "use the version of the server here too: curl URL/healthz shows it"
