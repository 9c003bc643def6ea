"""Streams of the log: each gets what it wants, once and in order, and all share the reading."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from activityctl import wiring
from activityctl.api.log_streams.lines import Line
from activityctl.api.log_streams.pages import LogPages, Look
from activityctl.api.log_streams.searches import Searches
from activityctl.api.log_streams.streams import Streams
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter, LogNews
from activityctl.errors import TooSlowError, UnreachableError
from activityctl.ports import Logbook

MakeRun = Callable[..., Awaitable[Run]]
Follow = Callable[..., AsyncIterator[Line]]
NAMES = {"s": "shop"}


@dataclass
class Counted:
    """A logbook that counts how often it is read, and fails as often as it is told."""

    logbook: Logbook
    news_reads: int = 0
    pages: list[LogFilter] = field(default_factory=list)
    searches: list[int] = field(default_factory=list)
    failures: int = 0
    is_slow: bool = False
    slow_pages: int = 0
    slow_news: int = 0
    slow_filter: LogFilter | None = None
    """Only its pages are slow; None if all are."""

    async def matches(self, patterns: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
        self.searches.append(len(patterns))
        if self.is_slow:
            raise TooSlowError("Postgres ended a statement")
        return await self.logbook.matches(patterns, texts)

    async def news(self, owners: Sequence[str], after: Cursor, *, limit: int) -> LogNews:
        self._fail_if_told()
        self.news_reads += 1
        if self.slow_news:
            self.slow_news -= 1
            raise TooSlowError("Postgres ended a statement")
        return await self.logbook.news(owners, after, limit=limit)

    async def page(
        self, wanted: LogFilter, after: Cursor, *, limit: int
    ) -> tuple[list[LogEntry], Cursor]:
        self._fail_if_told()
        self.pages.append(wanted)
        if self.slow_pages and wanted == (self.slow_filter or wanted):
            self.slow_pages -= 1
            raise TooSlowError("Postgres ended a statement")
        return await self.logbook.page(wanted, after, limit=limit)

    def _fail_if_told(self) -> None:
        if self.failures:
            self.failures -= 1
            raise UnreachableError("Postgres does not answer")


@pytest.fixture
def counted(ports: wiring.Ports) -> Counted:
    return Counted(ports.logbook)


@pytest.fixture
def streams(ports: wiring.Ports, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> Streams:
    room = "activityctl.api.log_streams"
    for module in ("feed", "stream"):
        monkeypatch.setattr(f"{room}.{module}._PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(f"{room}.stream._ASK_SECONDS", 0.02)
    return Streams(counted, ports.signals, Searches())  # type: ignore[arg-type]  # a fake log


async def lines_of(
    streams: Streams, wanted: LogFilter, after: Cursor, *more: Any
) -> AsyncIterator[Line]:
    followed = streams.follow(wanted, after, "reader", *more)
    async with aclosing(followed) as batches:  # type: ignore[type-var]  # a generator
        async for lines in batches:
            for line in lines:
                yield line


async def until_all_wait(streams: Streams, count: int) -> None:
    """Wait until so many streams have read what was there before."""
    while sum(stream.has_caught_up for stream in streams._streams) < count:
        await asyncio.sleep(0.005)


def entry(text: str, now: datetime, owner: str = "s", **more: Any) -> LogEntry:
    return LogEntry(owner, None, text, "info", now, **more)


async def test_a_line_is_read_once_for_all_and_its_json_is_made_once(
    ports: wiring.Ports, streams: Streams, counted: Counted, now: datetime
):
    filters = [LogFilter(("s",)), LogFilter(("s",), text="one"), LogFilter(("s", "t"))]
    followers = [lines_of(streams, filters[n % 3], Cursor()) for n in range(30)]
    waiting = [asyncio.ensure_future(anext(each)) for each in followers]
    await until_all_wait(streams, 30)
    before, pages = counted.news_reads, len(counted.pages)
    await ports.logbook.append([entry("one", now)])
    lines = await asyncio.gather(*waiting)
    assert {line.entry.message for line in lines} == {"one"}
    made = {id(line.event(NAMES)) for line in lines}
    # Not always one: a reading may have been on its way, and some streams may come late.
    assert len(made) < 10
    assert counted.news_reads - before + len(counted.pages) - pages < 10
    for each in followers:
        await each.aclose()  # type: ignore[attr-defined]


async def test_what_only_the_store_can_decide_is_read_once_for_equal_filters(
    ports: wiring.Ports, streams: Streams, counted: Counted, now: datetime
):
    wanted = LogFilter(("s",), text="^(one|two)$")
    followers = [lines_of(streams, wanted, Cursor()) for _ in range(20)]
    waiting = [asyncio.ensure_future(anext(each)) for each in followers]
    await until_all_wait(streams, 20)
    pages = len(counted.pages)
    await ports.logbook.append([entry(text, now) for text in ("zero", "two", "three")])
    assert {line.entry.message for line in await asyncio.gather(*waiting)} == {"two"}
    assert len(counted.pages) - pages < 10
    for each in followers:
        await each.aclose()  # type: ignore[attr-defined]


DIFFERENT = [LogFilter(("s",), text=f"^(a|b{number})$") for number in range(20)]


@pytest.mark.parametrize("is_slow", [False, True])
async def test_different_regular_expressions_share_a_page_unless_their_search_is_slow(
    ports: wiring.Ports, counted: Counted, now: datetime, *, is_slow: bool
):
    texts = [f"b{number}" for number in range(20)] + ["c"]
    await ports.logbook.append([entry(text, now) for text in texts])
    counted.is_slow = is_slow
    pages = LogPages(counted, Searches())  # type: ignore[arg-type]  # a fake log
    for again in (False, True):
        looks = [Look(wanted, Cursor(), reads=0) for wanted in DIFFERENT]
        found = await asyncio.gather(*(pages.read(look, "reader") for look in looks))
        assert [[line.entry.message for line in lines] for lines in found] == [
            [text] for text in texts[:20]
        ]
        alone = 20 if is_slow else 0
        assert len(counted.pages) == (alone if is_slow and again else alone + 1)
        # After a slow one, each is searched for alone.
        assert counted.searches == ([] if is_slow and again else [20])
        counted.pages.clear()
        counted.searches.clear()


@pytest.mark.parametrize("tasks", [1, 8, 24])
async def test_the_slow_searches_of_one_caller_leave_places_to_the_others(
    ports: wiring.Ports, now: datetime, tasks: int
):
    """The expressions for one task share a page, if there are several."""

    class Blocked(Counted):
        async def page(
            self, wanted: LogFilter, after: Cursor, *, limit: int
        ) -> tuple[list[LogEntry], Cursor]:
            if wanted.task is not None:
                self.pages.append(wanted)
                await asyncio.Event().wait()
            return await super().page(wanted, after, limit=limit)

    await ports.logbook.append([entry("one", now)])
    blocked, searches = Blocked(ports.logbook), Searches(seconds=5)
    pages = LogPages(blocked, searches)  # type: ignore[arg-type]  # a fake log
    slow = [LogFilter(("s",), text=f"{n}", task=f"t{n % tasks}") for n in range(24)]
    looks = [Look(wanted, Cursor(), reads=0) for wanted in slow]
    reading = [asyncio.create_task(pages.read(look, "greedy")) for look in looks]
    await asyncio.sleep(0.1)
    assert len(blocked.pages) == min(tasks, 2)
    mine = LogFilter(("s",), text="one")
    async with asyncio.timeout(20), searches.place(mine, "other"):
        for wanted in (mine, LogFilter(("s",))):
            (line,) = await pages.read(Look(wanted, Cursor(), reads=0), "other")
            assert line.entry.message == "one"
    for each in (*reading, *pages._readings.values()):
        each.cancel()


@pytest.mark.parametrize("is_slow", [False, True])
async def test_each_stream_gets_what_its_regular_expression_finds(
    ports: wiring.Ports, streams: Streams, counted: Counted, now: datetime, *, is_slow: bool
):
    followers = [lines_of(streams, wanted, Cursor()) for wanted in DIFFERENT]
    waiting = [asyncio.ensure_future(anext(each)) for each in followers]
    await until_all_wait(streams, 20)
    counted.is_slow = is_slow
    texts = [f"b{number}" for number in range(20)] + ["c"]
    await ports.logbook.append([entry(text, now) for text in texts])
    lines = await asyncio.gather(*waiting)
    assert [line.entry.message for line in lines] == texts[:20]
    counted.is_slow = False
    await ports.logbook.append([entry("a", now)])
    lines = await asyncio.gather(*map(anext, followers))  # type: ignore[arg-type]  # generators
    assert {line.entry.message for line in lines} == {"a"}
    for each in followers:
        await each.aclose()  # type: ignore[attr-defined]


async def test_who_reads_slowly_gets_everything_once_and_holds_nobody_up(
    ports: wiring.Ports, streams: Streams, now: datetime
):
    slow = lines_of(streams, LogFilter(("s",)), Cursor())
    quick = lines_of(streams, LogFilter(("s",)), Cursor())
    await ports.logbook.append([entry("first", now)])
    assert (await anext(slow)).entry.message == "first"
    assert (await anext(quick)).entry.message == "first"
    for number in range(12):
        texts = [f"{number}/{part}" for part in range(100)]
        await ports.logbook.append([entry(text, now) for text in texts])
        assert [(await anext(quick)).entry.message for _ in texts] == texts
    seen = [await anext(slow) for _ in range(1_200)]
    assert [line.entry.message for line in seen] == [f"{n // 100}/{n % 100}" for n in range(1_200)]
    await slow.aclose()  # type: ignore[attr-defined]
    await quick.aclose()  # type: ignore[attr-defined]


async def test_nothing_is_lost_in_an_outage_and_nothing_comes_twice(
    ports: wiring.Ports, streams: Streams, counted: Counted, now: datetime
):
    counted.failures = 3  # the first stream comes in an outage
    followed = lines_of(streams, LogFilter(("s",)), Cursor())
    for number in range(4):
        await ports.logbook.append([entry(f"{number}", now)])
        assert (await anext(followed)).entry.message == f"{number}"
        counted.failures = number
    await followed.aclose()  # type: ignore[attr-defined]


async def test_a_search_that_postgres_has_ended_ends_its_stream_and_no_other(
    ports: wiring.Ports, streams: Streams, counted: Counted, now: datetime
):
    other = lines_of(streams, LogFilter(("s",)), Cursor())
    waiting = asyncio.ensure_future(anext(other))
    await until_all_wait(streams, 1)
    wanted = LogFilter(("s",), text="(a*)*b")
    counted.slow_pages, counted.slow_filter = 1, wanted  # the other stream may look again
    slow = lines_of(streams, wanted, Cursor())
    with pytest.raises(TooSlowError, match="Postgres has ended the search"):
        await anext(slow)
    assert counted.pages.count(wanted) == 1
    await ports.logbook.append([entry("one", now)])
    assert (await waiting).entry.message == "one"
    await other.aclose()  # type: ignore[attr-defined]


async def test_a_statement_that_is_no_search_and_takes_too_long_is_tried_again(
    ports: wiring.Ports, streams: Streams, counted: Counted, now: datetime
):
    async def ask() -> LogFilter:
        asked.append(1)
        if len(asked) == 1:
            raise TooSlowError("Postgres ended a statement")
        return wanted

    asked: list[int] = []
    wanted = LogFilter(("s",), text="one")
    counted.slow_news = 1
    followed = lines_of(streams, wanted, Cursor(), ask)
    waiting = asyncio.ensure_future(anext(followed))
    while len(asked) < 2:
        await asyncio.sleep(0.005)
    await ports.logbook.append([entry("one", now)])
    assert (await waiting).entry.message == "one"
    counted.slow_pages = 1
    plain = lines_of(streams, LogFilter(("s",)), Cursor())
    assert (await anext(plain)).entry.message == "one"
    assert (counted.slow_pages, counted.slow_news) == (0, 0)
    for each in (followed, plain):
        await each.aclose()  # type: ignore[attr-defined]


async def test_a_stream_gets_what_a_subscription_has_that_is_wanted_later(
    ports: wiring.Ports, streams: Streams, now: datetime
):
    wanted = LogFilter(("s",))

    async def ask() -> LogFilter:
        return wanted

    followed = lines_of(streams, wanted, Cursor(), ask)
    await ports.logbook.append([entry("a", now)])
    assert (await anext(followed)).entry.message == "a"
    waiting = asyncio.ensure_future(anext(followed))
    await until_all_wait(streams, 1)
    await ports.logbook.append([entry("b", now, "t")])
    wanted = LogFilter(("s", "t"))
    assert (await waiting).entry.message == "b"
    await ports.logbook.append([entry("c", now, "t"), entry("d", now)])
    assert [(await anext(followed)).entry.message for _ in "cd"] == ["c", "d"]
    await followed.aclose()  # type: ignore[attr-defined]


async def test_streams_that_come_and_go_beside_many_writers_miss_nothing(
    ports: wiring.Ports, streams: Streams, make_run: MakeRun, now: datetime
):
    """Some transactions commit late, and streams break off and go on after their last line."""
    runs = [await make_run(f"k{number}") for number in range(2)]
    owner = runs[0].subscription_id
    writing = asyncio.gather(*(_write(ports, run, now, seed) for seed, run in enumerate(runs)))
    filters = [
        LogFilter((owner,)),
        LogFilter((owner,), text="even"),
        LogFilter((owner,), text="(even|none)$"),
        LogFilter((owner,), runs[0].id),
        LogFilter((owner, "other"), level="info"),
    ]
    followers = [_read_in_parts(streams, wanted, seed) for seed, wanted in enumerate(filters * 2)]
    seen = await asyncio.gather(*followers)
    await writing
    for wanted, lines in zip(filters * 2, seen, strict=True):
        page, _ = await ports.logbook.page(wanted, Cursor(), limit=1_000)
        assert [line.entry.id for line in lines] == [each.id for each in page]


async def _write(ports: wiring.Ports, run: Run, now: datetime, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(20):
        text = f"{number} {'even' if number % 2 == 0 else 'odd'}"
        mine = LogEntry(run.subscription_id, run.id, text, "info", now)
        async with ports.runs.locked(run.id) as locked:
            await locked.save(RunChange(run, entries=(mine,)))
            await ports.logbook.append([entry(f"beside {text}", now, run.subscription_id)])
            await asyncio.sleep(chance.random() * 0.01)
    last = LogEntry(run.subscription_id, run.id, f"end {seed} even", "info", now)
    await ports.logbook.append([last])


async def _read_in_parts(streams: Streams, wanted: LogFilter, seed: int) -> list[Line]:
    """Follow until both writers have ended, in streams of a few lines each."""
    chance = random.Random(seed)
    seen: list[Line] = []
    ends = 1 if wanted.run_id is not None else 2
    while ends:
        after = seen[-1].cursor if seen else Cursor()
        followed = lines_of(streams, wanted, after)
        for _ in range(chance.randrange(1, 15)):
            seen.append(await anext(followed))
            ends -= seen[-1].entry.message.startswith("end")
            if not ends:
                break
        await followed.aclose()  # type: ignore[attr-defined]
    return seen
