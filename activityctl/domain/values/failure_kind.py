"""FailureKind: whether another try can help after an error. Steps and loops ask only here."""

import errno
from datetime import timedelta
from enum import Enum
from typing import Final, assert_never

from activityctl.domain.values.back_off import BackOff
from activityctl.errors import (
    ActivityctlError,
    ConflictError,
    InvalidInputError,
    RefusedError,
    ServerNotReadyError,
    UnreachableError,
    WaitTimeoutError,
)


class FailureKind(Enum):
    """What another try can do."""

    OUTAGE = "outage"
    """It ends by itself or by an operator's hand, so the tries go on without limit."""
    PERMANENT = "permanent"
    """The same data is refused again, however often it is tried."""
    UNKNOWN = "unknown"
    """A bug, or something that nobody thought of; some tries tell whether it goes away."""


OUTAGE_PAUSES: Final = BackOff(timedelta(seconds=0.5), timedelta(seconds=5))
"""While a server does not answer: work goes on soon after it is back."""
OTHER_PAUSES: Final = BackOff(timedelta(seconds=1), timedelta(seconds=60))
"""For every other error, which may come again with each try."""
_TRIES: Final = {FailureKind.PERMANENT: 2, FailureKind.UNKNOWN: 8}
_MOST_REMEMBERED: Final = 10_000
_SHORT_OF: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT}
)
"""The machine is short of something: files, memory, processes, disk."""


def failure_kind(error: BaseException) -> FailureKind:
    """Return what another try can do after this error."""
    match error:
        case UnreachableError() | WaitTimeoutError() | ConflictError() | ServerNotReadyError():
            return FailureKind.OUTAGE
        case InvalidInputError() | RefusedError():
            return FailureKind.PERMANENT
        case OSError() if error.errno in _SHORT_OF:
            return FailureKind.OUTAGE
        case _:
            return FailureKind.UNKNOWN


def is_outage(error: BaseException) -> bool:
    """Return whether the error ends by itself or by an operator's hand."""
    return failure_kind(error) is FailureKind.OUTAGE


def pauses_after(error: BaseException) -> BackOff:
    """Return how long to wait before the next try."""
    return OUTAGE_PAUSES if is_outage(error) else OTHER_PAUSES


def failure_text(error: BaseException) -> str:
    """Return the error for people; the text of an error that is not ours may quote secret data."""
    if isinstance(error, ActivityctlError):
        return str(error)
    return f"{type(error).__name__}, see the worker's log"


class Tries:
    """Counts the failures of pieces of work, without outages, to know when to give one up."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    def is_last(self, work: str, error: BaseException) -> bool:
        """Count the failure; return whether another try is useless. Never true for an outage."""
        kind = failure_kind(error)
        match kind:
            case FailureKind.OUTAGE:
                return False
            case FailureKind.PERMANENT | FailureKind.UNKNOWN:
                failures = self._failures.pop(work, 0) + 1
                self._failures[work] = failures  # now the youngest
                while len(self._failures) > _MOST_REMEMBERED:
                    del self._failures[next(iter(self._failures))]
                return failures >= _TRIES[kind]
            case other:
                assert_never(other)

    def forget(self, work: str) -> None:
        """Forget the failures of work that is done."""
        self._failures.pop(work, None)
