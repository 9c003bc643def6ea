"""Records what a request has changed: who, what, from where, and with which outcome."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from fastapi import Request

from activityctl import wiring
from activityctl.api.refusals import HttpRefusedError
from activityctl.domain.access.audit import BEGUN, AuditEntry
from activityctl.domain.access.caller import Caller
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError, UnreachableError
from activityctl.operations.access.auditing import audited

_LONGEST_TARGET: Final = 200
"""A path may be much longer, and whoever has any token could fill the audit with it."""


@asynccontextmanager
async def recorded(
    request: Request, caller: Caller, action: str, target: str = ""
) -> AsyncIterator[dict[str, JsonValue]]:
    """Keep an entry before the block and one after it, also when it is refused; yield its details.

    `audited` says when the first one stays alone.
    """
    ports: wiring.Ports = request.app.state.ports
    details: dict[str, JsonValue] = {}
    begun = entry_of(request, caller, action, (target, BEGUN), {})
    async with audited(ports.audit, begun, details, lambda: datetime.now(UTC)):
        yield details


@asynccontextmanager
async def recorded_unless_dry(
    request: Request, caller: Caller, action: str, target: str, *, is_dry: bool
) -> AsyncIterator[dict[str, JsonValue]]:
    """Do as `recorded`, but keep nothing of a request that only asks what would be changed."""
    if is_dry:
        yield {}
        return
    async with recorded(request, caller, action, target) as details:
        yield details


class Details(dict[str, JsonValue]):
    """What an entry says beside who, what and when."""

    are_kept = False
    """Whether the writes have told all themselves, so that no entry is added."""


@asynccontextmanager
async def recorded_after(request: Request, caller: Caller, action: str) -> AsyncIterator[Details]:
    """Keep an entry after a block whose writes keep theirs themselves, in one statement with it.

    It tells that the block was refused, or what its writes have not told. What an outage or a
    limit of the server refuses leaves none.
    """
    details = Details()
    try:
        yield details
    except (HttpRefusedError, UnreachableError):
        raise
    except ActivityctlError as error:
        await _add(request, caller, action, error.code, details)
        raise
    if not details.are_kept:
        await _add(request, caller, action, "done", details)


def entry_of(
    request: Request,
    caller: Caller,
    action: str,
    what: tuple[str, str],
    details: Mapping[str, JsonValue],
) -> AuditEntry:
    """Return the entry; `what` is the target and the outcome."""
    target, outcome = what
    return AuditEntry(
        str(uuid.uuid4()),
        datetime.now(UTC),
        caller.name,
        action,
        target[:_LONGEST_TARGET],
        outcome,
        request.client.host if request.client else None,
        request.state.request_id,
        details,
    )


async def _add(
    request: Request,
    caller: Caller,
    action: str,
    outcome: str,
    details: Mapping[str, JsonValue],
) -> None:
    ports: wiring.Ports = request.app.state.ports
    await ports.audit.add([entry_of(request, caller, action, ("", outcome), details)])
