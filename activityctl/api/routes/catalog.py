"""Definitions, subscriptions, calendars and event sources, one at a time: delete them."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from activityctl.api.answers import json_response
from activityctl.api.applying import Waiting, clock_of, outdated
from activityctl.api.auditing import recorded
from activityctl.api.identity import Known
from activityctl.api.object_tags import require_match, wanted_tag
from activityctl.api.refusals import MethodNotAllowedError, NoSuchPathError
from activityctl.api.sight import Sight, absent
from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.plan import Kind, Plan
from activityctl.errors import OutdatedPlanError
from activityctl.operations.gitops.history import Deletion, delete, preview_deletion
from activityctl.operations.gitops.json_form import deletion_preview_view, deletion_view
from activityctl.operations.looking.kinds import known_kind, singular
from activityctl.wiring import Ports

router = APIRouter(tags=["objects"])
_KINDS: Final[Mapping[str, Kind]] = {
    "definitions": "ActivityDefinition",
    "subscriptions": "Subscription",
    "calendars": "Calendar",
    "sources": "EventSource",
}
Word = Literal["definitions", "subscriptions", "calendars", "sources"]
KindPath = Annotated[str, Path(description=f"One of {', '.join(_KINDS)}.", examples=["calendars"])]


def _word(request: Request, kind: KindPath) -> Word:
    """Return the kind of a path; an error if objects of that kind are not in manifests."""
    if kind in _KINDS:
        return cast("Word", kind)
    if known_kind(kind) == kind:
        raise MethodNotAllowedError(f"this path has no method {request.method}")
    raise NoSuchPathError("there is nothing at this path", hint=f"kinds: {', '.join(_KINDS)}")


KnownWord = Annotated[Word, Depends(_word)]


async def _delete(
    request: Request,
    kind: KnownWord,
    name: str,
    caller: Known,
    waiting: Waiting,
    *,
    dry_run: Annotated[
        bool, Query(alias="dryRun", description="delete nothing, and return what would be deleted")
    ] = False,
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    if not (caller.reads_all or caller.may_apply(None)):
        raise absent(singular(kind), name)
    preview = await _preview(ports, kind, name)
    if dry_run:
        sight.require_applies()
        tag = {"ETag": f'"{preview.fingerprint}"'}
        return json_response(deletion_preview_view(preview), headers=tag)
    async with recorded(request, caller, "delete", f"{singular(kind)}/{preview.name}"):
        sight.require_applies()
        plan = await _deleted(request, kind, preview, Origin(actor=caller.name))
    applied = await waiting.for_plan(ports, plan)
    return json_response(deletion_view(preview, applied))


async def _preview(ports: Ports, kind: Word, name: str) -> Deletion:
    return await preview_deletion(
        ports.catalog, ports.register, ports.run_lists, _KINDS[kind], name
    )


async def _deleted(request: Request, kind: Word, preview: Deletion, origin: Origin) -> Plan:
    """Delete the object if it has the tag of If-Match: its own, or that of the dry run."""
    ports: Ports = request.app.state.ports
    tag = wanted_tag(request)
    clock = await clock_of(ports)
    # One at a time: each holds a connection while it waits for the lock of the catalog.
    async with request.app.state.changes:
        if tag != preview.fingerprint:
            await require_match(request, ports, kind, preview.name)
        try:
            return await delete(
                ports.catalog,
                preview.kind,
                preview.name,
                clock,
                origin,
                made_against=None if tag is None else preview.fingerprint,
            )
        except OutdatedPlanError as error:
            raise outdated(error) from error


@router.delete("/{kind}/{name}", summary="Delete one object", response_class=Response)
async def remove(answer: Annotated[Response, Depends(_delete)]) -> Response:
    """Delete a definition, subscription, calendar or event source, as `delete` does.

    Runs and logs are kept. 409 if something uses the object. With `If-Match`, 412 if it has
    changed since it was read. With `?dryRun=true`, nothing is deleted.
    """
    return answer
