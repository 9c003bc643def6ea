"""Watch a list: what is new or changed in it, and what has left it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

from activityctl.domain.values.json_form import View
from activityctl.errors import UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.get import Page

_INTERVAL: Final = 1.0
_SHARE: Final = 5
"""A list that takes long to read is read again after this many times as long."""


@frozen_dataclass
class ListChange:
    """The objects that are new or changed, in the order of the list, and the keys that left it."""

    views: tuple[View, ...]
    gone: tuple[str, ...] = ()


def compare(before: Mapping[str, View], after: Mapping[str, View], *, is_cut: bool) -> ListChange:
    """Return what has changed between two readings of a list, by the key of each object.

    From a list that is cut, objects leave because others came; so nothing is said to be gone.
    """
    changed = tuple(view for key, view in after.items() if before.get(key) != view)
    gone = () if is_cut else tuple(key for key in before if key not in after)
    return ListChange(changed, gone)


async def watch(
    read: Callable[[], Awaitable[Page]],
    key_of: Callable[[View], str],
    *,
    interval: float = _INTERVAL,
    on_outage: Callable[[UnreachableError | None], None] = lambda _: None,
) -> AsyncIterator[ListChange]:
    """Yield the whole list, then each change of it; never end.

    If the database stops answering, go on when it answers again; `on_outage` is called once with
    the error and once with None. Raises UnreachableError if it does not answer at the beginning.
    """
    known: dict[str, View] | None = None
    is_out = False
    was_cut = False
    while True:
        began = time.monotonic()
        try:
            page = await read()
        except UnreachableError as error:
            if known is None:
                raise
            if not is_out:
                on_outage(error)
            is_out = True
        else:
            if is_out:
                on_outage(None)
            is_out = False
            found = _by_key(page.views, key_of)
            change = compare(known or {}, found, is_cut=page.has_more or was_cut)
            if known is None or change.views or change.gone:
                yield change
            known, was_cut = found, page.has_more
        await asyncio.sleep(max(interval, _SHARE * (time.monotonic() - began)))


def _by_key(views: Sequence[View], key_of: Callable[[View], str]) -> dict[str, View]:
    return {key_of(view): view for view in views}
