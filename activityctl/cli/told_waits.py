"""Wait for the workers, and say meanwhile what keeps them from their work."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from activityctl import wiring
from activityctl.cli.session import Session
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import UnreachableError
from activityctl.operations.looking.obstacles import obstacle_of_workers
from activityctl.ports import Workers

_EVERY: Final = 5.0
Result = TypeVar("Result")


async def told_wait(
    session: Session,
    ports: wiring.Ports,
    waiting: Coroutine[Any, Any, Result],
    recorded: str = "",
    *,
    begun: asyncio.Event | None = None,
) -> Result:
    """Return what `waiting` returns; every five seconds, say on stderr why it takes long, if known.

    `begun` is set once the workers are waited for; what is done before says nothing.
    UnreachableError if Postgres does not answer or its disk is full: `waiting` is cancelled. Its
    message ends with what was `recorded` before.
    """
    work = asyncio.ensure_future(waiting)
    tell = asyncio.create_task(_tell(session, ports.workers, begun))
    try:
        await asyncio.wait({work, tell}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise _with(tell.exception(), recorded)
    finally:
        for task in (work, tell):
            task.cancel()
        await asyncio.gather(work, tell, return_exceptions=True)


async def _tell(session: Session, workers: Workers, begun: asyncio.Event | None) -> None:
    if begun is not None:
        await begun.wait()
    seconds = 0.0
    while True:
        await asyncio.sleep(_EVERY)
        seconds += _EVERY
        if (obstacle := await obstacle_of_workers(workers)) is not None:
            session.err.print(escape_controls(f"waiting for {seconds:g} s: {obstacle}"))


def _with(error: BaseException | None, recorded: str) -> BaseException:
    """Return the error that ended the telling, with what was recorded."""
    if isinstance(error, UnreachableError) and recorded:
        return UnreachableError(f"{error.message}; {recorded}", hint=error.hint)
    return error or AssertionError("it tells until it is cancelled")
