"""Standing: looks again whether the callers of open requests may still see what these show.

A request is checked when it comes. Streams and waits last, and a token can end meanwhile.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request

from activityctl.api.identity import Identity, token_text_of
from activityctl.api.refusals import TokenEndedError, UnauthorizedError
from activityctl.domain.access.caller import Caller
from activityctl.domain.manifests.subscription import Subscription
from activityctl.errors import ActivityctlError, NotAllowedError
from activityctl.ports import Catalog, Tokens

_LOG = logging.getLogger(__name__)
LOOK_SECONDS: Final = 4.0
"""How often the tokens are looked at, all together: so long one that has ended still shows."""
Found = TypeVar("Found")
Lost = asyncio.Future[ActivityctlError]
"""Gets the reason when the caller may not go on."""


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    """A request that lasts."""

    text: str
    owners: Mapping[str, str] | None
    """The subscriptions of which it shows something, by id with their names; empty for all.

    None if it shows only what the caller has changed.
    """
    lost: Lost


class Standing:
    """Keeps the open requests of a server, and looks at their callers while there are some."""

    def __init__(
        self,
        identity: Identity,
        tokens: Tokens,
        catalog: Catalog,
        seconds: float = LOOK_SECONDS,
    ) -> None:
        self._identity = identity
        self._tokens = tokens
        self._catalog = catalog
        self.seconds = seconds
        """Between two looks."""
        self._open: set[_Open] = set()
        self._work: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, request: Request, owners: Mapping[str, str] | None) -> Iterator[Lost]:
        """Look at the caller of the request during the block; the future gets why it is lost."""
        lost: Lost = asyncio.get_running_loop().create_future()
        opened = _Open(token_text_of(request), owners, lost)
        self._open.add(opened)
        self._work = self._work or asyncio.create_task(self._look_again())
        try:
            yield lost
        finally:
            lost.cancel()
            self._open.discard(opened)
            if not self._open:
                self._work.cancel()
                self._work = None

    async def while_allowed(
        self,
        request: Request,
        owners: Mapping[str, str] | None,
        work: Coroutine[None, None, Found],
    ) -> Found:
        """Return what the work returns; end it with the reason when the caller may not go on."""
        task = asyncio.create_task(work)
        with self.watching(request, owners) as lost:
            try:
                both: set[asyncio.Future[Any]] = {task, lost}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if lost.done():
                    raise lost.result()
            finally:
                task.cancel()
                await asyncio.wait({task})
        return task.result()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self.seconds)
            try:
                await self._look()
            except ActivityctlError as error:  # without Postgres, nothing is shown either
                _LOG.info("the tokens of open requests cannot be looked at: %s", error)
            except Exception:  # noqa: BLE001  # the outermost loop; the next look may succeed
                _LOG.exception("the tokens of open requests were not looked at, by a bug")

    async def _look(self) -> None:
        opened = list(self._open)
        callers = await self._identity.callers_with({each.text for each in opened}, self._tokens)
        limited = {
            owner
            for each in opened
            if isinstance(caller := callers[each.text], Caller) and not caller.reads_all
            for owner in each.owners or ()
        }
        found = await self._catalog.subscriptions_of(sorted(limited)) if limited else []
        known: dict[str, Subscription] = {owner.id: owner for owner in found}
        for each in opened:
            error = _reason(each, callers[each.text], known)
            if error is not None and not each.lost.done():
                each.lost.set_result(error)


def _reason(
    opened: _Open, caller: Caller | ActivityctlError, known: Mapping[str, Subscription]
) -> ActivityctlError | None:
    """Return why the caller may not go on; None if it may."""
    if isinstance(caller, UnauthorizedError):
        return TokenEndedError()
    if isinstance(caller, ActivityctlError):
        return caller
    owners = opened.owners
    if owners is None or caller.reads_all or (owners and _operates_all(caller, owners, known)):
        return None
    return NotAllowedError(
        f"this token may not see {', '.join(owners.values()) or 'all logs'} any more",
        hint="activityctl tokens create NAME --scope SCOPE, or give back the label that it needs",
    )


def _operates_all(
    caller: Caller, owners: Collection[str], known: Mapping[str, Subscription]
) -> bool:
    return all(
        owner in known and caller.may_operate(known[owner].name, known[owner].labels)
        for owner in owners
    )
