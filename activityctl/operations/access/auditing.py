"""Record a change before it is made and after it, so that no change is without an entry."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError, OutcomeUnknownError, UnreachableError
from activityctl.ports import AuditTrail

_LOG = logging.getLogger(__name__)


@asynccontextmanager
async def audited(
    audit: AuditTrail,
    begun: AuditEntry,
    details: Mapping[str, JsonValue],
    clock: Callable[[], datetime],
) -> AsyncIterator[None]:
    """Keep an entry before the block, and after it one with its outcome and the details.

    If the first cannot be kept, nothing is done. It stays the only one, and so tells that the
    outcome is not known, if an outage, a bug or a cancellation breaks the block off, if the
    process is killed, or if the second one cannot be kept. OutcomeUnknownError in an outage, and
    if Postgres ends a statement that takes too long: others of the block may have changed much.
    """
    await audit.begin(begun)
    try:
        yield
    except UnreachableError as error:
        raise OutcomeUnknownError(
            f"{error.message}; whether {begun.action} was carried out is not known",
            hint="look at what it changes before you repeat it; the audit has it as begun",
        ) from error
    except ActivityctlError as error:
        await _close(audit, begun.closed(clock(), error.code, details))
        raise
    await _close(audit, begun.closed(clock(), "done", details))


async def _close(audit: AuditTrail, entry: AuditEntry) -> None:
    """Keep the second entry; in an outage the answer is still how the change has ended."""
    try:
        await audit.add([entry])
    except UnreachableError as error:
        _LOG.warning("the audit keeps %s as begun only: %s", entry.closes, error.message)
