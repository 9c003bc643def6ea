"""No entry of a run's log is lost, doubled or out of order while Postgres is away for a while."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activityctl.domain.values.log import LogEntry
from activityctl.errors import UnreachableError, UnstorableError
from activityctl.executors.live_log import LiveLog
from activityctl.ports import TaskCall
from activityctl.steps import log_writer
from activityctl.steps.log_writer import MOST_BYTES, MOST_ENTRIES, LogWriter
from support.open_run import OpenRun, open_run
from support.secrets import Known
from unit.steps.test_secrets_of_tasks import Telling

NOW = datetime(2026, 5, 1, tzinfo=UTC)
AWAY = UnreachableError("Postgres does not answer")


class Outage:
    """A logbook that fails while it is away; `stores` says whether the write arrives all the same.

    It is back when the writer has paused `pauses` times, or with `end`.
    """

    def __init__(self, logbook: Any = None) -> None:
        self.entries: list[LogEntry] = []
        self.is_away = False
        self.stores = False
        self.pauses: float = 1
        self.is_over = asyncio.Event()
        self.refused: str | None = None
        self.on_pause = lambda: None
        self._logbook = logbook

    async def append(self, entries: Sequence[LogEntry]) -> None:
        if any(entry.message == self.refused for entry in entries):
            raise UnstorableError("too large")
        if not self.is_away or self.stores:
            self.entries += [new for new in entries if new not in self.entries]
            if self._logbook is not None:
                await self._logbook.append(entries)
        if self.is_away:
            raise AWAY

    async def sleep(self, _: float) -> None:
        self.pauses -= 1
        self.on_pause()
        if self.pauses == math.inf:
            await self.is_over.wait()
        self.is_away = self.is_away and self.pauses > 0

    def end(self) -> None:
        self.is_away = False
        self.is_over.set()

    @property
    def messages(self) -> list[str]:
        return [entry.message for entry in self.entries]


@pytest.fixture
def outage() -> Outage:
    return Outage()


@pytest.fixture
def log(outage: Outage) -> LogWriter:
    book: Any = outage
    return LogWriter(book, outage.sleep)


def line(text: str, task: str = "t") -> LogEntry:
    return LogEntry("s", "r", text, "info", NOW, {"task": "a", "taskId": task, "stream": "stdout"})


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_write_that_fails_is_repeated_before_the_next_and_stored_once(
    outage: Outage, log: LogWriter, *, arrives: bool
):
    await log.write(line("1"))
    outage.is_away, outage.stores = True, arrives
    await log.write(line("2"))
    await log.write(line("2"))  # a line that is printed twice is two entries
    await log.write(line("3"))
    await log.settle("t")
    assert outage.messages == ["1", "2", "2", "3"]


async def test_entries_beyond_the_bound_are_counted_where_they_are_missing(
    outage: Outage, log: LogWriter
):
    outage.is_away, outage.pauses = True, math.inf
    for number in range(MOST_ENTRIES + 7):
        await log.write(line(str(number)))
    outage.end()
    await log.settle("t")
    await log.write(line("after"))
    *kept, note, after = outage.entries
    assert [entry.message for entry in kept] == [str(number) for number in range(MOST_ENTRIES)]
    assert note.message.startswith("7 entries of the log could not be kept here")
    assert note.metadata == {"task": "a", "taskId": "t", "leftOut": 7}
    assert note.level == "warning"
    assert after.message == "after"


async def test_each_entry_has_a_time_of_its_own_also_after_the_clock_was_set_back(
    outage: Outage, log: LogWriter
):
    for moment in (NOW, NOW, NOW - timedelta(milliseconds=5), NOW - timedelta(hours=1)):
        await log.write(replace(line("same"), created_at=moment))
    tick = timedelta(microseconds=1)
    times = [entry.created_at - NOW for entry in outage.entries]
    assert times == [timedelta(0), tick, 2 * tick, -timedelta(hours=1)]


@pytest.mark.parametrize("bound", ["MOST_BYTES", "MOST_BYTES_IN_ALL"])
async def test_large_entries_are_bounded_by_their_size(
    outage: Outage, log: LogWriter, bound: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_writer, bound, MOST_BYTES)
    outage.is_away, outage.pauses = True, math.inf
    await log.write(line("x" * MOST_BYTES))  # one alone is kept, however large
    await log.write(line("y"))
    outage.end()
    await log.settle("t")
    large, note = outage.messages
    assert len(large) == MOST_BYTES
    assert note.startswith("1 entry ")


async def test_an_entry_that_is_refused_for_good_is_counted_and_holds_up_no_other(
    outage: Outage, log: LogWriter
):
    outage.is_away, outage.refused = True, "bad"
    for text in ("1", "bad", "2"):
        await log.write(line(text))
    await log.settle("t")
    told = "1 entry of the log could not be kept here: Postgres refused it"
    assert outage.messages == ["1", told, "2"]


async def test_a_frozen_postgres_holds_up_an_attempt_once_and_other_attempts_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(log_writer, "_PATIENCE", 0.01)
    answer, stored = asyncio.Event(), []

    class Frozen:
        async def append(self, entries: Sequence[LogEntry]) -> None:
            if entries[0].metadata["taskId"] == "t":
                await answer.wait()
            stored.extend(entry.message for entry in entries)

    book: Any = Frozen()
    log = LogWriter(book)
    for text in ("1", "2", "3"):
        await log.write(line(text))
    await log.write(line("other", "u"))
    await log.settle("t", 0.01)
    assert stored == ["other"]
    answer.set()
    await log.close()
    assert stored == ["other", "1", "2", "3"]


async def test_a_slow_postgres_loses_nothing_however_fast_the_entries_come(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(log_writer, "_PATIENCE", 0.01)
    stored: list[str] = []

    class Slow:
        async def append(self, entries: Sequence[LogEntry]) -> None:
            await asyncio.sleep(0.05)
            stored.extend(entry.message for entry in entries)

    book: Any = Slow()
    log = LogWriter(book)
    texts = [str(number) for number in range(2 * MOST_ENTRIES)]
    for text in texts:
        await log.write(line(text))
    await log.settle("t")
    assert stored == texts


async def test_an_entry_that_waits_for_room_when_its_attempt_is_cancelled_is_kept(
    outage: Outage, log: LogWriter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_writer, "MOST_ENTRIES", 1)
    monkeypatch.setattr(log_writer, "_PATIENCE", 0.01)
    answer = asyncio.Event()

    async def store(*_: object) -> None:
        await answer.wait()

    await log.write(line("1"), store)
    waiting = asyncio.create_task(log.write(line("2")))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer.set()
    await log.settle("t")
    assert outage.messages == ["2"]


async def test_entries_after_a_refused_one_are_stored_once_if_a_lost_answer_had_stored_them(
    outage: Outage, log: LogWriter
):
    first = asyncio.Event()

    async def store(*_: object) -> None:
        await first.wait()

    writes = [asyncio.create_task(log.write(line("0"), store))]
    writes += [asyncio.create_task(log.write(line(text))) for text in ("bad", "2", "3")]
    await asyncio.sleep(0)
    outage.is_away, outage.stores = True, True  # the batch is stored, but its answer is lost
    outage.on_pause = lambda: setattr(outage, "refused", "bad")
    first.set()
    await asyncio.gather(*writes)
    await log.settle("t")
    assert [text for text in outage.messages if text in {"2", "3"}] == ["2", "3"]


async def test_what_cannot_be_written_until_the_worker_ends_is_told(
    outage: Outage,
    log: LogWriter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(log_writer, "_LAST_SECONDS", 0.01)
    outage.is_away, outage.pauses = True, math.inf
    await log.write(line("1"))
    await log.close()
    assert "lost from the log of a run: 1 entry" in caplog.text


async def run(tell: Any) -> tuple[OpenRun, Outage]:
    """Return an open run whose logbook can be away."""
    opened = await open_run(
        {"argv": ["true"], "env": {"TOKEN": {"secretRef": "s"}}}, Telling(tell), Known({"s": "?"})
    )
    outage = Outage(opened.ports.logbook)
    opened.step._log._logbook = outage  # type: ignore[assignment]
    opened.step._log._sleep = outage.sleep
    return opened, outage


async def test_an_outage_at_the_end_of_an_attempt_loses_nothing_and_its_end_comes_last():
    async def tell(_: str, call: TaskCall) -> Any:
        outage.is_away, outage.pauses = True, math.inf
        asyncio.get_running_loop().call_later(0.05, outage.end)
        for text in ("1", "2", "3"):
            await call.log("info", text, {})
        return {}

    opened, outage = await run(tell)
    await opened.execute()
    (task,) = await opened.tasks()
    assert task.status == "succeeded"
    assert outage.messages == ["1", "2", "3"]
    entries = await opened.entries()
    assert "message='3'" not in entries[-1]


async def test_what_a_stopped_attempt_leaves_is_stored_when_postgres_is_back():
    async def tell(_: str, call: TaskCall) -> Any:
        outage.is_away, outage.pauses = True, 3
        await call.log("info", "1", {})
        await call.stopped({"stdout": "2"}, "the last lines")
        raise asyncio.CancelledError

    opened, outage = await run(tell)
    await opened.ports.runs.request_cancel(opened.order.run_id, NOW)
    with pytest.raises(ApplicationError):
        await opened.execute()
    await opened.step.close()
    (task,) = await opened.tasks()
    assert task.output == {"stdout": "2"}
    lines = [text for text in await opened.entries() if "'1'" in text or "the last lines" in text]
    assert ["the last lines" in text for text in lines] == [False, True]


async def test_lines_that_are_being_written_when_the_command_ends_are_not_lost():
    """The end of the command cancels the write that the outage holds up."""
    written: list[str] = []
    is_waiting = asyncio.Event()

    async def write(_level: str, message: str, _facts: object) -> None:
        written.append(message)
        if len(written) == 1:
            is_waiting.set()
            await asyncio.Event().wait()

    call = TaskCall("r", "t", "a", 0, 1, "key", 60.0, write)  # type: ignore[arg-type]
    live = LiveLog(call, first_seconds=0)
    live.of("stdout")(b"1\n2\n3\n")
    await is_waiting.wait()
    live.of("stdout")(b"4\n")
    await live.finish()
    assert written == ["task a: 1", "task a: 2", "task a: 3", "task a: 4"]
