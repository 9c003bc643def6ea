"""ETag and If-Match of single objects: change one only if it is still as it was read."""

import asyncio
from contextlib import suppress
from typing import Final

from fastapi import Request

from activityctl import wiring
from activityctl.api.answers import tag_of
from activityctl.api.refusals import PreconditionFailedError
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.errors import ActivityctlError
from activityctl.operations.looking.describe import describe
from activityctl.operations.looking.kinds import Kind, singular
from activityctl.operations.looking.relayers import ReadRelayers, relayer_reader
from activityctl.wiring import Ports

_EDITED: Final = (
    *("name", "definition", "status", "pauseReason", "params", "triggers", "account"),
    *("labels", "annotations", "applyset", "revision", "spec", "days", "updatedAt"),
)
"""What people change of definitions, subscriptions, calendars and event sources.

`updatedAt` tells a credential that was changed in `params`: both are shown as `***`.
"""


def wanted_tag(request: Request) -> str | None:
    """Return the tag that If-Match asks for; None if any is right."""
    text = request.headers.get("if-match", "*").strip()
    return None if text == "*" else text.removeprefix("W/").strip('"')


def relayers_of(request: Request) -> ReadRelayers:
    """Return what reads relayers, with the keys of the server's machine."""
    settings, ports = request.app.state.settings, request.app.state.ports
    return relayer_reader(
        ports.catalog,
        ports.relays,
        lambda: wiring.open_keys(settings).known(),
        lambda: wiring.open_chains(settings, wiring.open_secrets(settings)),
    )


async def object_view(request: Request, kind: Kind, reference: str, *, last: bool = False) -> View:
    """Return the object as GET shows it, or the newest run of a subscription."""
    ports: Ports = request.app.state.ports
    settings = request.app.state.settings
    relayers = relayers_of(request)
    found = await describe(ports, kind, reference, last=last, relayers=relayers)
    with suppress(ActivityctlError):  # the server cannot read where its secrets are
        found = await asyncio.to_thread(wiring.with_found_secrets, settings, found)
    return {"apiVersion": API_VERSION, "kind": singular("runs" if last else kind), **found}


def edited_tag(view: View) -> str:
    """Return what stands for all that people change of an object: not its runs, nor its figures."""
    return tag_of({name: view[name] for name in _EDITED if name in view})


async def require_match(request: Request, kind: Kind, reference: str) -> None:
    """Raise PreconditionFailedError if the object was changed since it had the tag of If-Match."""
    tag = wanted_tag(request)
    if tag is None:
        return
    found = edited_tag(await object_view(request, kind, reference))
    if tag.partition("-")[0] != found:
        raise PreconditionFailedError(
            f"{singular(kind)}/{reference} has changed since it was read; nothing was changed",
            hint=f"GET /v1/{kind}/{reference}, and send its ETag in If-Match",
        )
