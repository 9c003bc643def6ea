"""What is decided in memory about a log entry is what the log store decides."""

import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl import wiring
from activityctl.domain.runs.run import Run
from activityctl.domain.values import ids
from activityctl.domain.values.log import LEVELS, Cursor, LogEntry, LogFilter
from activityctl.domain.values.log_rule import LogRule

MakeRun = Callable[..., Awaitable[Run]]

MESSAGES: Final = ("order 17 done", "order 1", "a.b", "aXb", "(x)", "", "Order", "ordder\ndone")
TEXTS: Final = (
    *(None, None, "order", "order 1", "done", "", "Order 17", "a-b"),
    *("a.b", r"\(x\)", "^order", "done$", "x|b", "ord*er", "or?d", "[xX]", "(?i)ORDER"),
)
TASKS: Final = (None, None, "note", "note[1]", "note[]", "note.sub", "5", "not", "null", "true")


def facts(chance: random.Random, task_id: str) -> dict[str, Any]:
    name = chance.choice(("note", "note.sub", "note[1]", "noted", "", None, 5, True, "null"))
    found: dict[str, Any] = {"task": name, "index": chance.choice((0, 1, "1", None, 1.5, True))}
    found["taskId"] = chance.choice((task_id, "unknown", None))
    return {key: found[key] for key in found if chance.random() < 0.6}


async def test_what_is_decided_in_memory_is_what_the_store_decides(
    ports: wiring.Ports, make_run: MakeRun, now: datetime
):
    run = await make_run("k", tasks=2)
    chance = random.Random(20261129)
    times = [now + timedelta(minutes=number) for number in range(4)]
    owners, runs = (run.subscription_id, "t"), (run.id, "r2", None)
    await ports.logbook.append(
        [
            LogEntry(
                chance.choice(owners),
                chance.choice(runs),
                chance.choice(MESSAGES),
                chance.choice(LEVELS),
                chance.choice(times),
                facts(chance, ids.task_id(run.id, "note", 1)),
            )
            for _ in range(150)
        ]
    )
    everything, _ = await ports.logbook.page(LogFilter(owners), Cursor(), limit=200)
    decided = 0
    for _ in range(150):
        of = chance.choice((owners[:1], owners[1:], owners))
        wanted = LogFilter(
            of,
            level=chance.choice(LEVELS),
            text=chance.choice(TEXTS),
            task=chance.choice(TASKS),
            since=chance.choice((None, *times)),
            until=chance.choice((None, *times)),
        )
        page, _ = await ports.logbook.page(wanted, Cursor(), limit=200)
        rule = LogRule(wanted)
        verdicts = {entry.id: rule.verdict(entry) for entry in everything}
        found = {entry.id for entry in page}
        sure = {number: verdict for number, verdict in verdicts.items() if verdict is not None}
        assert {number: number in found for number in sure} == sure, wanted
        decided += len(sure)
    assert decided > 0.9 * 150 * len(everything)


async def test_a_search_for_several_expressions_finds_what_a_page_of_each_has(
    ports: wiring.Ports, now: datetime
):
    await ports.logbook.append([LogEntry("s", None, text, "info", now) for text in MESSAGES])
    entries, _ = await ports.logbook.page(LogFilter(("s",)), Cursor(), limit=200)
    patterns = [text for text in TEXTS if text is not None]
    found = await ports.logbook.matches(patterns, [entry.message for entry in entries])
    for pattern, places in zip(patterns, found, strict=True):
        page, _ = await ports.logbook.page(LogFilter(("s",), text=pattern), Cursor(), limit=200)
        assert [entries[place].id for place in places] == [entry.id for entry in page], pattern
    assert await ports.logbook.matches(["x"], []) == [[]]


async def test_only_the_entries_of_a_run_are_admitted(ports: wiring.Ports, now: datetime):
    entries = [LogEntry("s", run, "x", "info", now) for run in ("r1", "r2", None)]
    await ports.logbook.append(entries)
    everything, _ = await ports.logbook.page(LogFilter(("s",)), Cursor(), limit=9)
    rule = LogRule(LogFilter(("s",), "r1"))
    assert [rule.verdict(entry) for entry in everything] == [True, False, False]


async def test_plain_words_are_decided_and_expressions_are_not(now: datetime):
    entry = LogEntry("s", None, "order 17 done", "info", now)

    def verdict(text: str) -> bool | None:
        return LogRule(LogFilter(("s",), text=text)).verdict(entry)

    assert verdict("order 17")
    assert verdict("order 18") is False
    assert verdict("ord.* domesticated") is False
    assert verdict("order .* done") is None
