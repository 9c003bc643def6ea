"""Cursors of lists: where the next page begins, as a text that a client gives back unchanged."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Final

from activityctl.domain.values.json_form import View, list_view
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError, UsageError
from activityctl.operations.looking.kinds import Kind
from activityctl.ports import AuditTrail, EventStore, RunLists

PAGED: Final[frozenset[Kind]] = frozenset({"runs", "tasks", "deadletters", "events", "audit"})
"""Kinds of which there may be very many; their stores go on after a place in their order."""
_LONGEST: Final = 512


def cursor_after(kind: str, last: View) -> str:
    """Return the cursor of the page after this object."""
    text = json.dumps([kind, _key(last)], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def key_of(kind: str, cursor: str) -> str:
    """Return what names the last object of the page before. Raises UsageError if it is none."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        found = None
    is_cursor = isinstance(found, list) and len(found) == 2 and len(cursor) <= _LONGEST  # noqa: PLR2004  # kind, place
    if not is_cursor or found[0] != kind or not isinstance(found[1], str):
        raise _no_cursor()
    return found[1]


def views_after(views: Sequence[View], key: str) -> list[View]:
    """Return the views behind the one with this key, or behind its place in a list by name."""
    for place, view in enumerate(views):
        if _key(view) == key:
            return list(views[place + 1 :])
    if any(not isinstance(view.get("name"), str) for view in views):
        raise _no_cursor()
    return [view for view in views if str(view["name"]) > key]


class Places:
    """Finds where a page of runs, tasks, dead letters, events or audit entries goes on."""

    def __init__(self, lists: RunLists, events: EventStore, audit: AuditTrail) -> None:
        self._lists = lists
        self._events = events
        self._audit = audit

    async def after(self, kind: Kind, key: str) -> tuple[object, ...]:
        """Return the place of the object in the order of its list; UsageError if it is gone."""
        try:
            found = await self._place(kind, key)
        except (NotFoundError, ConflictError):
            found = None
        if found is None:
            raise _no_cursor()
        return found

    async def _place(self, kind: Kind, key: str) -> tuple[object, ...] | None:
        only = Selection(name=key, limit=1)
        match kind:
            case "runs":
                run = await self._lists.find_run(key)
                return (run.created_at, run.id) if run.id == key else None
            case "tasks":
                for task in await self._lists.tasks(only):
                    run = await self._lists.find_run(task.run_id)
                    return (run.created_at, run.id, task.created_at, task.name, task.index)
            case "deadletters":
                for letter in await self._lists.dead_letters(only):
                    return (letter.created_at, letter.id)
            case "events":
                return ((await self._events.find_event(key)).position,)
            case _:
                for entry in await self._audit.entries(only):
                    return (entry.at, entry.id)
        return None


def _key(view: View) -> str:
    return str(view.get("uid") or view.get("id") or view["name"])


def page_of(kind: str, views: Sequence[View], limit: int, cursor: str | None) -> View:
    """Return a page of a short list as JSON: the objects after the cursor, at most `limit`."""
    left = list(views) if cursor is None else views_after(views, key_of(kind, cursor))
    page = list_view(left[:limit], has_more=len(left) > limit)
    if len(left) > limit:
        page["metadata"] = {"hasMore": True, "next": cursor_after(kind, left[limit - 1])}
    return page


def _no_cursor() -> UsageError:
    return UsageError(
        "this is no cursor of this list, or its place is gone",
        hint="give back metadata.next unchanged, or begin without a cursor",
    )
