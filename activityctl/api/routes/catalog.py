"""One definition, subscription, calendar or event source: its history, roll back, delete."""

from functools import partial
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from activityctl.api.answers import json_response, tagged_response
from activityctl.api.applying import REPEAT, Clock, Waiting, changed_once, outdated
from activityctl.api.auditing import recorded, recorded_unless_dry
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_body
from activityctl.api.object_tags import require_match, wanted_tag
from activityctl.api.refusals import MethodNotAllowedError, NoSuchPathError
from activityctl.api.repeats import GivenKey, request_key
from activityctl.api.sight import Sight, absent
from activityctl.domain.access.caller import Caller
from activityctl.domain.gitops.answered import AnsweredRequest, RequestKey
from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.gitops.reach import Reach
from activityctl.domain.values.json_form import list_view
from activityctl.domain.values.model import Manifest
from activityctl.errors import (
    ActivityctlError,
    AmbiguousError,
    ConflictError,
    NotFoundError,
    OutdatedPlanError,
    UnreachableError,
)
from activityctl.operations.gitops.history import (
    Deletion,
    delete,
    history,
    preview_deletion,
    roll_back,
)
from activityctl.operations.gitops.json_form import (
    applied_view,
    change_views,
    deletion_preview_view,
    deletion_view,
)
from activityctl.operations.gitops.once import Done, done_before
from activityctl.operations.looking.kinds import MANIFEST_KINDS, known_kind, singular
from activityctl.wiring import Ports

router = APIRouter(tags=["objects"])
Word = Literal["definitions", "subscriptions", "calendars", "sources"]
KindPath = Annotated[
    str, Path(description=f"One of {', '.join(MANIFEST_KINDS)}.", examples=["calendars"])
]


def _word(request: Request, kind: KindPath) -> Word:
    """Return the kind of a path; an error if objects of that kind are not in manifests."""
    if kind in MANIFEST_KINDS:
        return cast("Word", kind)
    if known_kind(kind) == kind:
        raise MethodNotAllowedError(f"this path has no method {request.method}")
    raise NoSuchPathError(
        "there is nothing at this path", hint=f"kinds: {', '.join(MANIFEST_KINDS)}"
    )


KnownWord = Annotated[Word, Depends(_word)]


class RollbackBody(Manifest):
    """Which version is restored."""

    to: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="The number of a change in the history."
    )


async def _delete(
    request: Request,
    kind: KnownWord,
    name: str,
    caller: Known,
    waiting: Waiting,
    key: GivenKey,
    *,
    dry_run: Annotated[
        bool, Query(alias="dryRun", description="delete nothing, and return what would be deleted")
    ] = False,
) -> Response:
    asked = request_key(request, caller.name, key, b"")
    target = f"{singular(kind)}/{name}"
    before = None if dry_run else await _done_before(request, caller, target, asked)
    if before is not None:
        view = partial(deletion_view, before.preview)
        return await waiting.answer(request, Done(before.plan, is_repeat=True), view)
    preview = await _preview(request, caller, kind, name, is_dry=dry_run)
    shown = deletion_preview_view(preview)
    if dry_run:
        return json_response(shown, headers={"ETag": f'"{preview.fingerprint}"'})
    async with recorded(request, caller, "delete", f"{singular(kind)}/{preview.name}"):
        work = partial(_deleted, request, kind, preview, caller)
        done = await changed_once(request, asked, work, shown)
    return await waiting.answer(request, done, partial(deletion_view, shown))


async def _done_before(
    request: Request, caller: Caller, target: str, asked: RequestKey | None
) -> AnsweredRequest | None:
    """Return the deletion that the request repeats; the repeat, or its refusal, is audited."""
    try:
        before = await done_before(request.app.state.ports.catalog, asked) if asked else None
    except ConflictError:
        async with recorded(request, caller, "delete", target):
            raise
    if before is not None:
        async with recorded(request, caller, "delete", target) as details:
            details.update(REPEAT)
    return before


async def _preview(
    request: Request, caller: Caller, kind: Word, name: str, *, is_dry: bool
) -> Deletion:
    """Return what deleting the object means; a refusal is kept in the audit, unless it is dry."""
    ports: Ports = request.app.state.ports
    reach = Reach(caller)
    try:
        return await preview_deletion(
            ports.catalog, ports.register, ports.run_lists, MANIFEST_KINDS[kind], name, reach=reach
        )
    except (AmbiguousError, NotFoundError):
        if reach.sees_all:
            raise
        raise absent(singular(kind), name) from None
    except UnreachableError:  # nothing was begun
        raise
    except ActivityctlError:
        target = f"{singular(kind)}/{name}"
        async with recorded_unless_dry(request, caller, "delete", target, is_dry=is_dry):
            raise


async def _deleted(
    request: Request, kind: Word, preview: Deletion, caller: Caller, clock: Clock
) -> Plan:
    """Delete the object if it has the tag of If-Match: its own, or that of the dry run."""
    ports: Ports = request.app.state.ports
    tag = wanted_tag(request)
    if tag != preview.fingerprint:
        await require_match(request, kind, preview.name)
    try:
        return await delete(
            ports.catalog,
            preview.kind,
            preview.name,
            clock,
            Origin(actor=caller.name),
            made_against=None if tag is None else preview.fingerprint,
            reach=Reach(caller),
        )
    except OutdatedPlanError as error:
        raise outdated(error) from error


async def _history(
    request: Request,
    kind: KnownWord,
    name: str,
    caller: Known,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 1_000,
) -> Response:
    ports: Ports = request.app.state.ports
    views = change_views(
        await history(ports.catalog, MANIFEST_KINDS[kind], name, reach=Reach(caller))
    )
    return tagged_response(request, list_view(views[:limit], has_more=len(views) > limit))


@router.get("/{kind}/{name}/history", summary="Show who changed an object", response_class=Response)
async def show_history(answer: Annotated[Response, Depends(_history)]) -> Response:
    """Show every change of an object, the newest first, also of a deleted one, as `history` does.

    Each has who made it, from which commit, the changed fields and the manifest after it.
    """
    return answer


async def _roll_back(
    request: Request, kind: KnownWord, name: str, caller: Known, waiting: Waiting, key: GivenKey
) -> Response:
    ports: Ports = request.app.state.ports
    reach = Reach(caller)
    await history(ports.catalog, MANIFEST_KINDS[kind], name, reach=reach)
    async with recorded(request, caller, "rollback", f"{singular(kind)}/{name}") as details:
        Sight(ports, caller).require_applies()
        body = await read_body(request, RollbackBody)
        details["to"] = body.to
        asked = request_key(request, caller.name, key, repr(body.to).encode())
        origin = Origin(actor=caller.name)

        async def work(clock: Clock) -> Plan:
            await require_match(request, kind, name)
            wanted = MANIFEST_KINDS[kind]
            return await roll_back(ports.catalog, wanted, name, body.to, clock, origin, reach=reach)

        done = await changed_once(request, asked, work)
        if done.is_repeat:
            details.update(REPEAT)
    return await waiting.answer(request, done, applied_view)


@router.post(
    "/{kind}/{name}/rollback",
    summary="Restore an earlier version of an object",
    response_class=Response,
    openapi_extra=body_of(RollbackBody, {"to": 2}),
)
async def rollback(answer: Annotated[Response, Depends(_roll_back)]) -> Response:
    """Restore an earlier version of an object, also of a deleted one, as `rollback` does.

    `to` is the number of a change in the history; without it, it is the change before the last.
    With `If-Match`, 412 if the object has changed since it was read.
    409 if there is no earlier version; 400 if it does not fit the stored objects any more.
    """
    return answer


@router.delete("/{kind}/{name}", summary="Delete one object", response_class=Response)
async def remove(answer: Annotated[Response, Depends(_delete)]) -> Response:
    """Delete a definition, subscription, calendar or event source, as `delete` does.

    Runs and logs are kept. 409 if something uses the object. With `If-Match`, 412 if it has
    changed since it was read. With `?dryRun=true`, nothing is deleted.
    """
    return answer
