"""What paths for many objects at once share: the filters, whom they concern, and the answer."""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

from fastapi import Query, Response
from pydantic import Field

from activityctl.api.answers import json_response
from activityctl.domain.access.caller import Caller
from activityctl.domain.values.json_form import View, list_view
from activityctl.domain.values.model import Manifest
from activityctl.domain.values.selection import Selection
from activityctl.errors import UsageError
from activityctl.wiring import Ports

MOST: Final = 1_000
"""The most objects of one request."""
_ALL: Final = "without ids and filters it needs all=true, so that nothing is changed by mistake"
Several = Annotated[list[str], Query()]
Labels = Annotated[list[str], Query(description="`key=value`")]
All = Annotated[bool, Query(alias="all", description="needed if there is no filter")]
DryRun = Annotated[bool, Query(alias="dryRun", description="change nothing, and list them")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="the most objects of one request")]
Item = TypeVar("Item")


class Chosen(Manifest):
    """The objects of a request that names them."""

    ids: list[str] = Field(
        default_factory=list,
        max_length=MOST,
        description="These objects, in place of those that filters select.",
    )


def require_chosen(
    ids: Sequence[str],
    has_filter: bool,  # noqa: FBT001  # the three questions
    has_all: bool,  # noqa: FBT001
) -> None:
    """Raise UsageError unless there are ids, filters or `all`, and ids stand alone."""
    if ids and (has_filter or has_all):
        raise UsageError("ids and filters cannot be combined", hint="send one of them")
    if not ids and not has_filter and not has_all:
        raise UsageError("nothing is chosen", hint=_ALL)


def cut(
    found: Sequence[Item], may_operate: Callable[[Item], bool], limit: int
) -> tuple[list[Item], bool]:
    """Return the first that the caller may operate, and whether there are more."""
    mine = [each for each in found if may_operate(each)]
    return mine[:limit], len(mine) > limit


async def operated(ports: Ports, caller: Caller) -> frozenset[str] | None:
    """Return the ids of the subscriptions that the caller may operate; None for all of them."""
    if caller.is_admin:
        return None
    live = await ports.catalog.subscriptions(Selection(limit=None))
    return frozenset(each.id for each in live if caller.may_operate(each.name, each.labels))


def many_answer(views: Sequence[View], *, has_more: bool, is_dry: bool, **more: object) -> Response:
    """Return the answer with what was done with each; in a dry run, with the objects."""
    listed = {**list_view(list(views), has_more=has_more), **more}
    return json_response(listed if is_dry else {**listed, "summary": counts(views)})


def counts(views: Sequence[View]) -> dict[str, int]:
    """Return how often each outcome occurs."""
    found: dict[str, int] = {}
    for view in views:
        found[view["outcome"]] = found.get(view["outcome"], 0) + 1
    return found
