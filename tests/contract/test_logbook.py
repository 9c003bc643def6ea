"""The Logbook port: every entry is read exactly once, in whatever order transactions commit."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter
from activityctl.operations.runs.follow_logs import follow_logs

MakeRun = Callable[..., Awaitable[Run]]
Say = Callable[..., LogEntry]

HARD = {"text": "a\0b\ud800c", "k\0": ["\udfff"]}
START = Cursor()
STORED = {"text": "a\ufffdb\ufffdc", "k\ufffd": ["\ufffd"]}


@pytest.fixture
def say(now: datetime) -> Say:
    def make(
        message: str, subscription: str = "s", run: str | None = None, **more: int
    ) -> LogEntry:
        return LogEntry(
            subscription, run, message, "info", now + timedelta(minutes=more.get("minute", 0))
        )

    return make


async def read(
    ports: wiring.Ports, after: Cursor = START, *, limit: int = 100, **filters: object
) -> list[str]:
    """Read all pages after the cursor; return the messages."""
    messages: list[str] = []
    while True:
        entries, after = await ports.logbook.page(LogFilter(("s",), **filters), after, limit=limit)
        if not entries:
            return messages
        messages += [entry.message for entry in entries]


async def test_the_last_entries_come_with_the_place_after_all(ports: wiring.Ports, now: datetime):
    wanted = LogFilter(("s",), text="even")
    assert await ports.logbook.last(wanted, 3) == ([], Cursor())
    texts = [f"{n} {'even' if n % 2 == 0 else 'odd'}" for n in range(8)]
    await ports.logbook.append([LogEntry("s", None, text, "info", now) for text in texts])
    entries, cursor = await ports.logbook.last(wanted, 3)
    assert [entry.message for entry in entries] == ["2 even", "4 even", "6 even"]
    assert await ports.logbook.page(LogFilter(("s",)), cursor, limit=10) == ([], cursor)
    nothing, same = await ports.logbook.last(LogFilter(("s",), text="none"), 3)
    assert (nothing, same) == ([], cursor)
    assert await ports.logbook.last(LogFilter(("s",)), 0) == ([], cursor)
    await ports.logbook.append([LogEntry("s", None, "8 even", "info", now)])
    (entry,), _ = await ports.logbook.page(wanted, cursor, limit=10)
    assert entry.message == "8 even"


async def test_entries_come_back_in_order_and_as_they_were_written(
    ports: wiring.Ports, now: datetime
):
    entry = LogEntry("s", "r", "ä\n", "warning", now, {"a": [1.5, None], "b": {}})
    await ports.logbook.append([entry, LogEntry("s", None, "two", "debug", now)])
    await ports.logbook.append([LogEntry("s", None, "three", "error", now)])
    entries, _ = await ports.logbook.page(LogFilter(("s",)), Cursor(), limit=10)
    assert [entry.message for entry in entries] == ["ä\n", "two", "three"]
    first, second, third = entries
    assert (first.subscription_id, first.run_id, first.level) == ("s", "r", "warning")
    assert (first.created_at, first.metadata) == (now, {"a": [1.5, None], "b": {}})
    assert (second.run_id, second.metadata, third.level) == (None, {}, "error")
    assert 0 < first.id < second.id < third.id


async def test_an_empty_log_has_no_page_and_keeps_the_cursor(ports: wiring.Ports):
    await ports.logbook.append([])
    assert await ports.logbook.page(LogFilter(("s",)), Cursor(7, 8), limit=10) == ([], Cursor(7, 8))
    assert await ports.logbook.tail(LogFilter(("s",)), 3) == Cursor()


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_pages_of_any_size_have_every_entry_once(ports: wiring.Ports, say: Say, limit: int):
    await ports.logbook.append([say(f"{number}") for number in range(3)])
    await ports.logbook.append([say("other", "elsewhere")])
    await ports.logbook.append([say(f"{number}") for number in range(3, 5)])
    assert await read(ports, limit=limit) == ["0", "1", "2", "3", "4"]


async def test_a_page_is_filtered_by_run_and_by_time(ports: wiring.Ports, say: Say, now: datetime):
    await ports.logbook.append(
        [
            say("a", run="r1"),
            say("b", run="r2", minute=1),
            say("c", run="r1", minute=2),
            say("d", minute=3),
        ]
    )
    assert await read(ports, limit=1, run_id="r1") == ["a", "c"]
    assert await read(ports, limit=1, since=now + timedelta(minutes=1)) == ["b", "c", "d"]
    assert await read(ports, run_id="r1", since=now + timedelta(minutes=1)) == ["c"]


async def test_the_tail_begins_before_the_last_entries(ports: wiring.Ports, say: Say):
    await ports.logbook.append([say("a"), say("b")])
    await ports.logbook.append([say("other", "elsewhere")])
    await ports.logbook.append([say("c"), say("d")])
    for count in range(5):
        cursor = await ports.logbook.tail(LogFilter(("s",)), count)
        assert await read(ports, cursor) == ["a", "b", "c", "d"][4 - count :]
    assert await ports.logbook.tail(LogFilter(("s",)), 100) == Cursor()


async def test_the_tail_of_a_run_counts_only_its_entries(ports: wiring.Ports, say: Say):
    await ports.logbook.append([say("a", run="r1"), say("b", run="r1"), say("c", run="r2")])
    await ports.logbook.append([say("d"), say("e", run="r2")])
    cursor = await ports.logbook.tail(LogFilter(("s",), "r1"), 1)
    assert await read(ports, cursor, run_id="r1") == ["b"]
    assert await ports.logbook.tail(LogFilter(("s",), "r1"), 2) == Cursor()


async def test_only_new_entries_follow_the_tail(ports: wiring.Ports, say: Say):
    await ports.logbook.append([say("old")])
    cursor = await ports.logbook.tail(LogFilter(("s",)), 0)
    await ports.logbook.append([say("new")])
    assert await read(ports, cursor) == ["new"]


async def test_an_entry_of_a_transaction_that_commits_late_is_seen_once(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")

    def log_entry(message: str) -> LogEntry:
        return LogEntry(run.subscription_id, run.id, message, "info", now)

    async def page(after: Cursor) -> tuple[list[str], Cursor]:
        entries, cursor = await ports.logbook.page(
            LogFilter((run.subscription_id,)), after, limit=10
        )
        return [entry.message for entry in entries], cursor

    await ports.logbook.append([log_entry("before")])
    seen, cursor = await page(Cursor())
    async with ports.runs.locked(run.id) as locked:
        await locked.save(RunChange(run, entries=(log_entry("early, commits late"),)))
        await ports.logbook.append([log_entry("late, commits early")])
        more, cursor = await page(cursor)
        seen += more
        again, cursor = await page(cursor)
        seen += again
    more, cursor = await page(cursor)
    seen += more
    assert sorted(seen) == ["before", "early, commits late", "late, commits early"]
    assert await page(cursor) == ([], cursor)


async def test_the_tail_misses_no_entry_that_commits_late(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    late = LogEntry(run.subscription_id, run.id, "late", "info", now)
    async with ports.runs.locked(run.id) as locked:
        await locked.save(RunChange(run, entries=(late,)))
        await ports.logbook.append([LogEntry(run.subscription_id, None, "early", "info", now)])
        cursor = await ports.logbook.tail(LogFilter((run.subscription_id,)), 0)
    entries, _ = await ports.logbook.page(LogFilter((run.subscription_id,)), cursor, limit=10)
    assert "late" in [entry.message for entry in entries]


async def test_a_reader_beside_many_writers_sees_each_entry_once(ports: wiring.Ports, say: Say):
    async def write(writer: int) -> None:
        for number in range(20):
            await ports.logbook.append([say(f"{writer}/{number}/{part}") for part in "ab"])

    seen: list[str] = []
    cursor = Cursor()
    writing = asyncio.gather(*(write(writer) for writer in range(4)))
    while True:
        was_done = writing.done()
        entries, cursor = await ports.logbook.page(LogFilter(("s",)), cursor, limit=7)
        seen += [entry.message for entry in entries]
        if was_done and not entries:
            break
        await asyncio.sleep(0)
    await writing
    expected = {f"{w}/{n}/{part}" for w in range(4) for n in range(20) for part in "ab"}
    assert len(seen) == len(expected)
    assert set(seen) == expected
    for writer in range(4):
        mine = [message for message in seen if message.startswith(f"{writer}/")]
        assert mine == [f"{writer}/{n}/{part}" for n in range(20) for part in "ab"]


async def test_nul_and_lone_surrogates_become_replacement_characters(
    ports: wiring.Ports, now: datetime
):
    await ports.logbook.append([LogEntry("s", None, "m\0\udc80\U0001f600", "info", now, HARD)])
    ((entry,), _) = await ports.logbook.page(LogFilter(("s",)), Cursor(), limit=1)
    assert entry.message == "m\ufffd\ufffd\U0001f600"
    assert entry.metadata == STORED


async def test_entries_of_several_subscriptions_come_in_one_order(ports: wiring.Ports, say: Say):
    for number in range(6):
        await ports.logbook.append([say(f"{number}", "sto"[number % 3])])
    wanted = LogFilter(("s", "t"))
    seen: list[str] = []
    after = Cursor()
    while page := await ports.logbook.page(wanted, after, limit=2):
        entries, after = page
        if not entries:
            break
        seen += [entry.message for entry in entries]
    assert seen == ["0", "1", "3", "4"]
    cursor = await ports.logbook.tail(wanted, 3)
    entries, _ = await ports.logbook.page(wanted, cursor, limit=9)
    assert [entry.message for entry in entries] == ["1", "3", "4"]


async def test_a_page_is_filtered_by_level_text_task_and_end(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k", tasks=2)
    facts = [
        ("info", "task note succeeded", {"task": "note", "index": 0}),
        ("warning", "attempt 1 of note[1] failed: timed out", {"task": "note", "index": 1}),
        ("error", "task pay.charge failed (code 3)", {"task": "pay.charge", "index": 0}),
        ("debug", "a breaker holds it up", {"taskId": ids.task_id(run.id, "note", 1)}),
        ("error", "noteworthy", {"task": "noteworthy"}),
    ]
    await ports.logbook.append(
        [
            LogEntry(run.subscription_id, run.id, text, level, now + timedelta(minutes=n), more)  # type: ignore[arg-type]
            for n, (level, text, more) in enumerate(facts)
        ]
    )

    async def found(**filters: object) -> list[int]:
        wanted = LogFilter((run.subscription_id,), **filters)
        entries, _ = await ports.logbook.page(wanted, Cursor(), limit=9)
        texts = [text for _, text, _ in facts]
        return [texts.index(entry.message) for entry in entries]

    assert await found() == [0, 1, 2, 3, 4]
    assert await found(level="info") == [0, 1, 2, 4]
    assert await found(level="warning") == [1, 2, 4]
    assert await found(level="error") == [2, 4]
    assert await found(text="time(d|s) out") == [1]
    assert await found(text=r"\(code \d\)$") == [2]
    assert await found(text="Task") == []
    assert await found(task="note") == [0, 1, 3]
    assert await found(task="note[1]") == [1, 3]
    assert await found(task="pay") == [2]
    assert await found(task="pay.charge", run_id=run.id) == [2]
    assert await found(until=now + timedelta(minutes=2)) == [0, 1]
    assert await found(since=now + timedelta(minutes=1), until=now + timedelta(minutes=4)) == [
        1,
        2,
        3,
    ]
    last_trouble = await ports.logbook.tail(LogFilter((run.subscription_id,), level="error"), 1)
    entries, _ = await ports.logbook.page(
        LogFilter((run.subscription_id,), level="error"), last_trouble, limit=9
    )
    assert [entry.message for entry in entries] == ["noteworthy"]


async def test_an_entry_is_held_back_while_an_older_transaction_is_open(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k")
    wanted = LogFilter((run.subscription_id,), run.id, level="error")
    async with ports.runs.locked(run.id) as locked:
        await locked.save(RunChange(run))
        await ports.logbook.append([LogEntry(run.subscription_id, run.id, "x", "error", now)])
        found, _ = await ports.logbook.page(wanted, Cursor(), limit=9)
        assert (not found) == await ports.logbook.is_held_back(wanted)
        assert not await ports.logbook.is_held_back(LogFilter(("another",)))
    assert not await ports.logbook.is_held_back(wanted)
    assert (await ports.logbook.page(wanted, Cursor(), limit=9))[0]


async def test_a_reader_that_does_not_read_on_holds_no_writer_up(ports: wiring.Ports, say: Say):
    await ports.logbook.append([say("first")])
    followed = follow_logs(ports.logbook, ports.signals, LogFilter(("s",)))
    assert (await anext(followed)).message == "first"  # and from here on it does nothing
    for number in range(20):
        await ports.logbook.append([say(f"{number}/{part}") for part in range(100)])
    seen = [await anext(followed) for _ in range(2_000)]
    assert [entry.message for entry in seen[:2]] == ["0/0", "0/1"]
    assert len({entry.id for entry in seen}) == 2_000
    await followed.aclose()  # type: ignore[attr-defined]


async def test_a_repeated_append_adds_only_what_is_missing_in_the_order_given(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    entries = [
        LogEntry(mine.id, "r", f"{text}\0", "info", now, {"n": 1.50, "text": "\ud800"})
        for text in ("c", "b", "a")
    ]
    later = replace(entries[0], created_at=now + timedelta(microseconds=1))
    await ports.logbook.append(entries[:2])
    await ports.logbook.append([*entries, later])
    await ports.logbook.append([*entries, later])
    found, _ = await ports.logbook.page(LogFilter((mine.id,)), Cursor(), limit=10)
    assert [entry.message[0] for entry in found] == ["c", "b", "a", "c"]
