"""The RunStore port keeps what a stopped attempt has written."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter

MakeRun = Callable[..., Awaitable[Run]]


async def test_the_output_of_a_stopped_attempt_is_kept_unless_the_task_has_one(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    run = await make_run("k")
    (task,) = (await ports.runs.load(run.id)).tasks
    await ports.runs.begin_attempt(task.id, now, "here")
    cancelled = replace(task, status=TaskStatus.CANCELLED, reason="on request", ended_at=now)
    async with ports.runs.locked(run.id) as locked:
        await locked.save(RunChange(run, update=(cancelled,)))
    for word in ("first", "second"):
        output = {"stdout": f"{word}\0"}
        entry = LogEntry(run.subscription_id, run.id, word, "info", now, {})
        await ports.runs.keep_output(task.id, output, entry)
    (found,) = (await ports.runs.load(run.id)).tasks
    assert (found.status, found.reason) == (TaskStatus.CANCELLED, "on request")
    assert found.output == {"stdout": "first\ufffd"}
    entries, _ = await ports.logbook.page(LogFilter((mine.id,)), Cursor(), limit=10)
    assert [entry.message for entry in entries] == ["first", "second"]
