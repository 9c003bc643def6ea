"""The whole error tree: what can go wrong, the exit code it means, and the next step.

Only the command line, the HTTP face and the steps turn these into something else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with one place of an input; line and column count from 1.

    They are 0 for a file as a whole; the file is empty for what stands in none.
    """

    file: str
    line: int
    column: int
    path: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(filter(None, (place, self.path, self.reason)))


class ActivityctlError(Exception):
    """The root: a message of facts, a hint with the next command, an exit code."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RefusedError(ActivityctlError):
    """The request was understood and refused as things stand."""

    code = "refused"


class UsageError(ActivityctlError):
    """The command line's words do not fit together."""

    code = "usage"
    exit_code = 2


class InvalidInputError(ActivityctlError):
    """Input that cannot be taken as it is; nothing was changed."""

    code = "invalid_input"
    exit_code = 3


class InvalidManifestsError(InvalidInputError):
    """Every problem of every file, in the order of the files."""

    code = "invalid_manifest"

    def __init__(
        self,
        problems: Sequence[Problem],
        *,
        hint: str = "mend the places above and run the command again",
    ) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'' if count == 1 else 's'} found; nothing was changed", hint=hint
        )


class InvalidEventError(InvalidInputError):
    """Not a CloudEvent; `field` is the attribute at fault, empty for the event as a whole."""

    code = "invalid_event"

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}" if field else reason)


class ExpressionError(InvalidInputError):
    """A CEL expression that does not compile or could not be evaluated."""

    code = "expression_error"


class ExpressionBudgetError(ExpressionError):
    """An expression that is too long, too deep or iterates too much."""

    code = "expression_budget"


class NotFoundError(ActivityctlError):
    """No object of that kind answers to that name."""

    code = "not_found"
    exit_code = 4

    def __init__(self, kind: str, name: str, *, hint: str | None = None) -> None:
        super().__init__(f'{kind} "{name}" not found', hint=hint)


class ConflictError(ActivityctlError):
    """The world is not as the request supposes."""

    code = "conflict"
    exit_code = 5

    @classmethod
    def ambiguous(cls, reference: str, kind: str) -> Self:
        """Return the error for a reference that fits several objects of a kind (plural)."""
        return cls(f'"{reference}" fits several {kind}', hint="give more of the id")


class NotAllowedError(ActivityctlError):
    """The settings or the rights of the caller forbid it."""

    code = "not_allowed"
    exit_code = 6


class DestinationForbiddenError(InvalidInputError):
    """An outgoing call to an address that the settings do not allow."""

    code = "destination_forbidden"


class UnreachableError(ActivityctlError):
    """Postgres, Temporal or another dependency does not answer."""

    code = "unreachable"
    exit_code = 7
    retryable = True


class WaitTimeoutError(ActivityctlError):
    """What was waited for did not come in time; it may still come."""

    code = "timeout"
    exit_code = 8
    retryable = True


class InterruptionError(ActivityctlError):
    """Ctrl-C ended the command; the message says how things stand."""

    code = "interrupted"
    exit_code = 130


class InternalError(ActivityctlError):
    """Our own bug."""

    code = "internal"
    exit_code = 70


class TaskError(ActivityctlError):
    """A task's attempt failed; `retryable` tells whether another attempt may help."""

    code = "task_failed"

    def __init__(self, message: str, *, code: str = "task_failed", retryable: bool = True) -> None:
        super().__init__(message)
        self.task_code = code
        self.may_retry = retryable
