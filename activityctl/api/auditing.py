"""Records what a request has changed: who, what, from where, and with which outcome."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from fastapi import Request

from activityctl import wiring
from activityctl.api.refusals import HttpRefusedError
from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.access.caller import Caller
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError, UnreachableError

_LONGEST_TARGET: Final = 200
"""A path may be much longer, and whoever has any token could fill the audit with it."""


class Details(dict[str, JsonValue]):
    """What an entry says beside who, what and when."""

    are_kept = False
    """Whether the write has kept its entry itself, so that no other one is added."""


@asynccontextmanager
async def recorded(
    request: Request, caller: Caller, action: str, target: str = ""
) -> AsyncIterator[Details]:
    """Keep an entry about the block, also when it is refused; yield its details.

    What an outage or a limit of the server refuses leaves no entry: nothing was changed.
    """
    details = Details()
    try:
        yield details
    except (HttpRefusedError, UnreachableError):
        raise
    except ActivityctlError as error:
        await _add(request, caller, action, (target, error.code), details)
        raise
    if not details.are_kept:
        await _add(request, caller, action, (target, "done"), details)


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
    what: tuple[str, str],
    details: Mapping[str, JsonValue],
) -> None:
    ports: wiring.Ports = request.app.state.ports
    await ports.audit.add([entry_of(request, caller, action, what, details)])
