"""Objects of every kind: lists and single objects, as `get` and `describe` show them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from activityctl.api.answers import tagged_response
from activityctl.api.identity import Known
from activityctl.api.object_tags import edited_tag, object_view, relayers_of
from activityctl.api.refusals import NoSuchPathError
from activityctl.api.sight import Sight, absent
from activityctl.domain.values.json_form import list_view
from activityctl.domain.values.selection import Selection, parse_labels
from activityctl.domain.values.time_range import parse_time_range
from activityctl.errors import UsageError
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.kinds import KINDS, MANIFEST_KINDS, Kind, known_kind, singular
from activityctl.wiring import Ports

router = APIRouter(tags=["objects"])
_MOST: Final = 1_000
_OF_ONE: Final[frozenset[Kind]] = frozenset({"schedules", "runs", "tasks", "deadletters"})
"""Kinds of which a caller may list those of a subscription that it may operate."""
KindPath = Annotated[str, Path(description=f"One of {', '.join(KINDS)}.", examples=["runs"])]
Several = Annotated[list[str], Query()]


def _kind(kind: KindPath) -> Kind:
    """Return the kind of a path; NoSuchPathError if it is none."""
    if (found := known_kind(kind)) is None or found != kind:
        raise NoSuchPathError("there is nothing at this path", hint=f"kinds: {', '.join(KINDS)}")
    return found


KnownKind = Annotated[Kind, Depends(_kind)]


def _filters(
    subscription: str | None = None,
    run: str | None = None,
    status: Several = [],  # FastAPI copies it
    since: Annotated[str | None, Query(description="`2h`, or a time in RFC 3339")] = None,
    until: str | None = None,
    type: Several = [],  # noqa: A002  # the name of the parameter
    source: Several = [],
    label: Annotated[list[str], Query(description="`key=value`")] = [],
    assignee: str | None = None,
    definition: Annotated[str | None, Query(description="of dead letters")] = None,
    task: Annotated[str | None, Query(description="of dead letters: what failed first")] = None,
    error: Annotated[str | None, Query(description="of dead letters: a part of it")] = None,
    name: Annotated[str | None, Query(description="a name, an id, or its beginning")] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
    cursor: Annotated[str | None, Query(description="`metadata.next` of the page before")] = None,
    *,
    is_last: Annotated[
        bool, Query(alias="notReplayed", description="only runs that have no replay and no retry")
    ] = False,
) -> tuple[Selection, Mapping[str, str | None]]:
    """Return the selection of a list, and what names other objects in it."""
    first, last = parse_time_range(since, until, datetime.now(UTC))
    selection = Selection(
        statuses=tuple(status),
        since=first,
        until=last,
        types=tuple(type),
        sources=tuple(source),
        labels=parse_labels(label),
        assignee=assignee,
        are_last=is_last,
        definition=definition,
        task=task,
        error=error,
        limit=limit,
    )
    return selection, {
        "subscription": subscription,
        "run": run,
        "name": name,
        "cursor": cursor,
    }


Filters = Annotated[tuple[Selection, Mapping[str, str | None]], Depends(_filters)]


async def _list(request: Request, kind: KnownKind, given: Filters, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    selection, named = given
    sight = Sight(ports, caller)
    owner = run = None
    if named["subscription"] is not None:
        owner = (await sight.subscription(named["subscription"])).id
    if named["run"] is not None:
        run = (await sight.run(named["run"]))[0].id
    if kind not in _OF_ONE or (owner is None and run is None):
        sight.require_all(kind)
    chosen = Selection(
        **{
            **{name: getattr(selection, name) for name in Selection.__dataclass_fields__},
            "subscription_id": owner,
            "run_id": run,
        }
    )
    page = await ObjectViews(ports, relayers_of(request)).page(
        kind, named["name"], chosen, named["cursor"]
    )
    view = list_view(page.views, has_more=page.has_more)
    if page.cursor is not None:
        view["metadata"] = {"hasMore": True, "next": page.cursor}
    return tagged_response(request, view)


@router.get("/{kind}", summary="List the objects of a kind", response_class=Response)
async def list_objects(answer: Annotated[Response, Depends(_list)]) -> Response:
    """List objects, the newest first where they have a time, as `get KIND -o json` does.

    `metadata.hasMore` says whether there are more than the limit. Ask again with `?cursor=` and
    `metadata.next` for the next page: what was stored meanwhile moves nothing.
    """
    return answer


async def _one(
    request: Request,
    kind: KnownKind,
    name: str,
    caller: Known,
    *,
    last: Annotated[bool, Query(description="of a subscription: its newest run")] = False,
    trigger: Annotated[str | None, Query(description="of a schedule: its trigger")] = None,
) -> Response:
    sight = Sight(request.app.state.ports, caller)
    if last and kind != "subscriptions":
        raise UsageError("last is for a subscription")
    if trigger is not None and kind != "schedules":
        raise UsageError("trigger is for a schedule, whose name is that of its subscription")
    reference = await _seen(sight, kind, name)
    if trigger is not None:
        reference = f"{reference}/{trigger}"
    view = await object_view(request, kind, reference, last=last)
    edited = edited_tag(view) if kind in MANIFEST_KINDS and not last else None
    return tagged_response(request, view, edited)


async def _seen(sight: Sight, kind: Kind, name: str) -> str:
    """Return what names the object; NotFoundError if the caller may not see it."""
    if kind == "subscriptions":
        return (await sight.subscription(name)).id
    if kind == "schedules":
        return (await sight.subscription(name)).name
    if kind == "runs":
        return (await sight.run(name))[0].id
    if kind == "tasks" and not sight.caller.reads_all:
        return (await sight.task(name))[0].id
    if kind == "deadletters" and not sight.caller.reads_all:
        return (await sight.letter(name))[0].id
    if not sight.caller.reads_all or (kind == "audit" and not sight.caller.is_admin):
        raise absent(singular(kind), name)
    return name


@router.get("/{kind}/{name}", summary="Show one object", response_class=Response)
async def show_object(answer: Annotated[Response, Depends(_one)]) -> Response:
    """Show an object with what belongs to it, as `describe KIND NAME -o json` does.

    The name may be an id, or its beginning; of a schedule it is that of its subscription. With
    `If-None-Match`, the answer is 304 while nothing has changed.
    """
    return answer
