"""All errors of activityctl, each with a message, a hint and an exit code.

Only the command line, the HTTP API and the steps turn them into texts, statuses or retries.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

CANDIDATES_TOLD: Final = 5
"""How many objects an error names when a reference means several."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One error at one position of an input.

    Line and column count from 1; both are 0 if the problem concerns the whole file. `file` is
    empty if the input is not a file. `path` is the path of the field.
    """

    file: str
    line: int
    column: int
    path: str
    reason: str
    is_empty: bool = field(default=False, compare=False)
    """Whether it only says that a file or folder has no manifest."""

    def __str__(self) -> str:
        position = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(filter(None, (position, self.path, self.reason)))


_SYSTEM_REASONS: Final = {
    errno.ENOENT: "there is no such file or folder",
    errno.EPERM: "permission denied",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "part of the path is not a folder",
    errno.ELOOP: "a loop of symbolic links, or a symbolic link that is not followed",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENXIO: "not a regular file",
    errno.ECONNREFUSED: "nothing listens there",
    errno.ECONNRESET: "the connection was cut",
}
"""What is said of these errors; of others, what the operating system says, in lower case."""


def reason_of(error: Exception) -> str:
    """Return why the operating system refused a file or address, without numbers and paths.

    Such as `permission denied`: it stands after a colon, in each message that tells such an error.
    """
    if isinstance(error, UnicodeError):
        return "it is not valid UTF-8"
    if isinstance(error, OSError) and type(error).__module__ == "ssl":
        return _tls_reason(error)  # one of them is a ValueError too
    if isinstance(error, ValueError):
        return "it is damaged"
    if isinstance(error, OSError) and type(error).__module__ == "builtins" and error.errno:
        return _SYSTEM_REASONS.get(error.errno) or os.strerror(error.errno).lower()
    text = getattr(error, "strerror", None)  # the numbers of other modules mean something else
    return str(text).lower() if text else "it cannot be used"


def _tls_reason(error: OSError) -> str:
    if why := getattr(error, "verify_message", None):
        return f"its certificate is not valid: {why}"
    code = getattr(error, "reason", None) or "unknown"
    return f"TLS failed: {str(code).lower().replace('_', ' ')}"


class ActivityctlError(Exception):
    """The root of all errors: a message, a hint with the next step, and an exit code."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RefusedError(ActivityctlError):
    """The request is valid but was refused in the current state."""

    code = "refused"


class WorkerStartedError(RefusedError):
    """A worker has come to life while the database was to be restored; nothing was changed."""


class ServerNotReadyError(ActivityctlError):
    """Postgres answers, but an operator has to mend something there before any work can go on."""


class UsageError(ActivityctlError):
    """The arguments or settings do not fit together."""

    code = "usage"
    exit_code = 2


class InvalidInputError(ActivityctlError):
    """The input is invalid; nothing was changed."""

    code = "invalid_input"
    exit_code = 3


class InvalidManifestsError(InvalidInputError):
    """Manifests are invalid: every problem of every file, sorted by file and position."""

    code = "invalid_manifest"

    def __init__(
        self,
        problems: Sequence[Problem],
        *,
        hint: str = "fix the problems above and run the command again",
    ) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'' if count == 1 else 's'} found; nothing was changed", hint=hint
        )


class InvalidEventError(InvalidInputError):
    """Not a valid CloudEvent; `field` is the invalid attribute, empty for the whole event."""

    code = "invalid_event"

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}" if field else reason)


class UnstorableError(InvalidInputError):
    """Postgres refuses a value for good: it is too large, or has a form that cannot be stored."""

    code = "unstorable"


class SchemaMismatchError(ServerNotReadyError, RefusedError):
    """The database does not have the schema of this version."""


class ExpressionError(InvalidInputError):
    """A CEL expression does not compile or could not be evaluated."""

    code = "expression_error"


class ExpressionBudgetError(ExpressionError):
    """An expression is too long or too deeply nested, or iterates too often."""

    code = "expression_budget"


class NotFoundError(ActivityctlError):
    """There is no object of this kind with this name."""

    code = "not_found"
    exit_code = 4

    def __init__(self, kind: str, name: str, *, hint: str | None = None) -> None:
        super().__init__(f'{kind} "{name}" not found', hint=hint)


class ConflictError(ActivityctlError):
    """The stored state is not what the request expects."""

    code = "conflict"
    exit_code = 5


class OutdatedPlanError(ConflictError):
    """Live objects have changed since a plan was made, so it was not carried out."""


class AmbiguousError(ConflictError):
    """The beginning of an id means several objects; the message names the first of them.

    For the caller it is as if the object was not found, so it has that exit code.
    """

    code = "ambiguous"
    exit_code = 4

    def __init__(
        self,
        reference: str,
        kind: str,
        candidates: Sequence[str] = (),
        *,
        hint: str = "give more characters of the id",
    ) -> None:
        told = ": " + ", ".join(candidates[:CANDIDATES_TOLD]) if candidates else ""
        more = " and more" if len(candidates) > CANDIDATES_TOLD else ""
        super().__init__(f'"{reference}" matches several {kind}{told}{more}', hint=hint)


class NotAllowedError(ActivityctlError):
    """The settings or the permissions of the caller do not allow the request."""

    code = "not_allowed"
    exit_code = 6


class DatabaseNotFoundError(ServerNotReadyError, NotFoundError):
    """The database of the URL does not exist."""


class DatabaseDeniedError(ServerNotReadyError, NotAllowedError):
    """Postgres refuses the login, or a right that the login needs."""


class DestinationForbiddenError(InvalidInputError):
    """The settings do not allow an outgoing call to this address."""

    code = "destination_forbidden"


class UnreachableError(ActivityctlError):
    """Postgres, Temporal or another dependency does not answer."""

    code = "unreachable"
    exit_code = 7
    retryable = True


class OutcomeUnknownError(UnreachableError):
    """A dependency went away amid a change; whether the change was made is not known."""

    code = "outcome_unknown"
    retryable = False


class TooSlowError(UnreachableError):
    """Postgres answers, but ended a statement that took too long.

    That statement has changed nothing; earlier ones of the same request may have.
    """

    code = "too_slow"
    exit_code = 8


class WaitTimeoutError(ActivityctlError):
    """The wait timed out; what it waited for may still happen."""

    code = "timeout"
    exit_code = 8
    retryable = True


class OutputError(ActivityctlError):
    """The command did its work, but its results could not be written to standard output."""

    code = "output_failed"
    exit_code = 74

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"standard output cannot be written: {reason}; the command has done its work, and the "
            "lines above are the first of its results",
            hint="do not repeat the command for its results: look at them with `activityctl get`",
        )


class InterruptionError(ActivityctlError):
    """Ctrl-C ended the command; the message says what was done and what was not."""

    code = "interrupted"
    exit_code = 130


class InternalError(ActivityctlError):
    """A bug in activityctl."""

    code = "internal"
    exit_code = 70


class TaskError(ActivityctlError):
    """An attempt of a task failed; `may_retry` says whether another attempt may succeed.

    `output` is what the attempt had written until then, as JSON. `retry_after_seconds` is how long
    the next attempt should wait at least, if the other side has asked for it. `status` is that of
    an HTTP response. `entry` is the message and the metadata of a log entry, which is written if
    no other attempt comes.
    """

    code = "task_failed"

    def __init__(
        self,
        message: str,
        *,
        code: str = "task_failed",
        retryable: bool = True,
        output: Any = None,
        retry_after_seconds: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.output = output
        self.task_code = code
        self.may_retry = retryable
        self.retry_after_seconds = retry_after_seconds
        self.status = status

    def with_message(self, message: str, output: Any = None) -> "TaskError":
        """Return the same error with another message, and with another output if one is given."""
        return TaskError(
            message,
            code=self.task_code,
            retryable=self.may_retry,
            output=self.output if output is None else output,
            retry_after_seconds=self.retry_after_seconds,
            status=self.status,
        )
