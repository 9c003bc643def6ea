"""Following a log while the database does not answer for a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from activityctl.domain.values.log import Cursor, LogEntry, LogFilter
from activityctl.errors import TooSlowError, UnreachableError
from activityctl.operations.runs.follow_logs import follow_logs

ALL = LogFilter(("s",))
NOW = datetime(2026, 11, 28, tzinfo=UTC)


class Log:
    """A logbook that answers or not, as `plan` says of each page, and its signals."""

    def __init__(self, plan: str) -> None:
        self.plan = list(plan)

    async def page(
        self, _: LogFilter, after: Cursor, **__: object
    ) -> tuple[list[LogEntry], Cursor]:
        step = self.plan.pop(0)
        if step == "-":
            raise UnreachableError("Postgres does not answer")
        if step == "s":
            raise TooSlowError("Postgres ended a statement")
        number = after.id + 1
        entry = LogEntry("s", None, str(number), "info", NOW)
        return [entry], Cursor(after.transaction, number)

    async def tail(self, _: LogFilter, count: int) -> Cursor:
        return Cursor(0, count)

    async def is_held_back(self, _: LogFilter) -> bool:
        return False

    @asynccontextmanager
    async def listening(self, _: str) -> AsyncIterator[AsyncIterator[str]]:
        async def payloads() -> AsyncIterator[str]:
            while True:
                yield ""

        yield payloads()


async def test_what_is_wanted_is_asked_again_each_second(monkeypatch: pytest.MonkeyPatch):
    moments = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    asked: list[LogFilter] = []

    class Recorded(Log):
        async def page(
            self, wanted: LogFilter, after: Cursor, **_: object
        ) -> tuple[list[LogEntry], Cursor]:
            asked.append(wanted)
            return await super().page(wanted, after)

    async def ask_again() -> LogFilter:
        return LogFilter(("s", "later"))

    log = Recorded("+++")
    entries = follow_logs(log, log, LogFilter(("s",)), ask_again=ask_again)  # type: ignore[arg-type]
    assert [await anext(entries) for _ in range(2)]
    await entries.aclose()  # type: ignore[attr-defined]
    assert asked[-1].subscription_ids == ("s", "later")


async def followed(log: Log, count: int, wanted: LogFilter = ALL) -> tuple[list[str], list[str]]:
    told: list[str] = []
    seen: list[str] = []
    entries = follow_logs(
        log,  # type: ignore[arg-type]  # only what is asked of it
        log,
        wanted,
        on_outage=lambda error: told.append("back" if error is None else "out"),
        pause_seconds=0,
    )
    async for entry in entries:
        seen.append(entry.message)
        if len(seen) == count:
            break
    await entries.aclose()  # type: ignore[attr-defined]
    return seen, told


async def test_a_log_goes_on_after_an_outage_without_a_gap_or_a_repeat():
    seen, told = await followed(Log("++--++-+"), 5)
    assert seen == ["1", "2", "3", "4", "5"]
    assert told == ["out", "back", "out", "back"]


async def test_a_search_that_postgres_has_ended_is_not_made_again():
    log = Log("+s+")
    with pytest.raises(TooSlowError, match="Postgres has ended the search"):
        await followed(log, 2, LogFilter(("s",), level="error"))
    assert log.plan == ["+"]


async def test_a_statement_that_is_no_search_and_takes_too_long_is_an_outage():
    assert await followed(Log("+s+"), 2) == (["1", "2"], ["out", "back"])

    class Busy(Log):
        is_told = False

        async def is_held_back(self, _: LogFilter) -> bool:
            if self.is_told:
                return False
            self.is_told = True
            raise TooSlowError("Postgres ended a statement")

    assert await followed(Busy("++"), 2, LogFilter(("s",), text="x")) == (
        ["1", "2"],
        ["out", "back"],
    )


async def test_a_database_that_does_not_answer_at_first_is_an_error():
    class Silent(Log):
        @asynccontextmanager
        async def listening(self, _: str) -> AsyncIterator[AsyncIterator[str]]:
            raise UnreachableError("Postgres does not answer")
            yield

    with pytest.raises(UnreachableError):
        await followed(Silent("+"), 1)


async def test_what_is_held_back_is_looked_for_again_without_a_notification():
    class Late(Log):
        """The second look finds the entry; no notification tells that it can be seen."""

        looks = 0

        async def page(
            self, wanted: LogFilter, after: Cursor, **more: object
        ) -> tuple[list[LogEntry], Cursor]:
            self.looks += 1
            return ([], after) if self.looks < 4 else await super().page(wanted, after, **more)

        async def is_held_back(self, _: LogFilter) -> bool:
            return self.looks < 4

        @asynccontextmanager
        async def listening(self, _: str) -> AsyncIterator[AsyncIterator[str]]:
            async def payloads() -> AsyncIterator[str]:
                raise AssertionError("nothing would come")
                yield ""

            yield payloads()

    log = Late("+")
    assert await followed(log, 1) == (["1"], [])
    assert log.looks == 4


async def test_a_transaction_that_stays_open_does_not_keep_the_follower_busy():
    class Stuck(Log):
        looks = 0

        async def page(
            self, _: LogFilter, after: Cursor, **__: object
        ) -> tuple[list[LogEntry], Cursor]:
            self.looks += 1
            return [], after

        async def is_held_back(self, _: LogFilter) -> bool:
            return True

        @asynccontextmanager
        async def listening(self, _: str) -> AsyncIterator[AsyncIterator[str]]:
            async def payloads() -> AsyncIterator[str]:
                for _ in range(2):
                    yield ""
                raise InterruptedError

            yield payloads()

    log = Stuck("")
    with pytest.raises(InterruptedError):
        await followed(log, 1)
    assert 100 <= log.looks <= 150
