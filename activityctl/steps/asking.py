"""Asking: asks breakers and limits whether an attempt may begin, and waits as long as they say."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeVar

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activityctl.domain.tasks.breaker import BreakerStatus
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.log import Level
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError, TaskError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import BreakerChange, Guards, Hold
from activityctl.steps.log_writer import LogWriter

_LOG = logging.getLogger(__name__)
_WAITED_HERE: Final = 1.0
"""Seconds. A shorter wait keeps the call; a longer one keeps no worker busy."""
HELD: Final = "held"
"""The type of the error after which Temporal asks again."""

_Begun = TypeVar("_Begun")
Log = Callable[[Level, str, dict[str, JsonValue]], Awaitable[None]]
"""Writes an entry into the log of the run."""


@frozen_dataclass
class Asker:
    """The task or the lookup that asks."""

    noun: str
    """What it is: `task` or `lookup`."""
    facts: Mapping[str, JsonValue]
    """What the worker's own log says of it."""
    log: Log


async def _accept(_: Hold) -> None:
    """Wait, however long it takes."""


class Asking:
    """Asks for one worker, before the attempts of tasks and of lookups."""

    def __init__(
        self,
        guards: Guards,
        log: LogWriter,
        worker: str,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._guards = guards
        self._log = log
        self._worker = worker
        self._clock = clock
        self._sleep = sleep

    async def _wait_until_begun(
        self,
        asker: Asker,
        ask: Callable[[], Awaitable[_Begun | Hold]],
        name: Callable[[Hold], str],
        check: Callable[[Hold], Awaitable[None]] = _accept,
    ) -> _Begun:
        """Ask until the answer is no hold, and return it; `name` says who waits, for the log.

        Raise TaskError if an open breaker lets the attempt fail, or what `check` raises. If it has
        to wait for more than a second, raise the error after which Temporal asks again at the right
        time.
        """
        waited = 0.0
        while True:
            answer = await ask()
            if not isinstance(answer, Hold):
                return answer
            if answer.fails:
                why = f": {answer.reason}" if answer.reason else ""
                message = f"breaker {answer.name} is open{why}"
                raise TaskError(message, code="breaker_open", retryable=False)
            await check(answer)
            if answer.is_new:
                facts = {"waitsFor": answer.name, "until": format_timestamp(answer.until)}
                await asker.log("info", f"{name(answer)} waits for {held_by(answer)}", facts)
            waited += answer.seconds
            if waited > _WAITED_HERE:
                raise ApplicationError(
                    f"the {asker.noun} waits for a breaker or a limit",
                    type=HELD,
                    next_retry_delay=timedelta(seconds=max(answer.seconds, 0.001)),
                    category=ApplicationErrorCategory.BENIGN,
                )
            await self._sleep(answer.seconds)

    async def _tell(self, asker: Asker, telling: Awaitable[BreakerChange | None]) -> None:
        """Tell the breaker how the attempt ended; if Postgres does not answer, it is not told."""
        try:
            change = await telling
        except ActivityctlError as failure:
            _LOG.warning("a breaker was not told: %s", failure, extra=asker.facts)
            return
        if change is not None:
            level, message, facts = transition(change)
            _LOG.warning(message, extra=asker.facts)
            await asker.log(level, message, facts)


def held_by(hold: Hold) -> str:
    """Return what holds up a task or a lookup, for people."""
    if not hold.is_breaker:
        return f"limit {hold.name}"
    why = f": {hold.reason}" if hold.reason else ""
    return f"breaker {hold.name}, which is open{why}"


def transition(change: BreakerChange) -> tuple[Level, str, dict[str, JsonValue]]:
    """Return the log entry about a change of a breaker: level, message, facts."""
    after = change.after
    facts: dict[str, JsonValue] = {
        "breaker": after.name,
        "before": change.before.status.value,
        "after": after.status.value,
        "openUntil": format_timestamp(after.open_until),
    }
    message = f"breaker {after.name} {_VERBS[after.status]}"
    message += f": {after.reason}" if after.reason else ""
    return ("info" if after.status is BreakerStatus.CLOSED else "warning"), message, facts


_VERBS: Final[Mapping[BreakerStatus, str]] = {
    BreakerStatus.CLOSED: "closed",
    BreakerStatus.OPEN: "opened",
    BreakerStatus.HALF_OPEN: "is half-open",
}
