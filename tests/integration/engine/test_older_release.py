"""Runs that an older release began end on this one.

`ledger-0021.backup` was taken with `backup` of a release with schema 0021, while its runs waited:
for a time, for a person, in a queue, for a retry, in a forEach half done, between two rounds, for
an event. It is restored beside a Temporal that knows nothing of them.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from activityctl import wiring
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.values.selection import Selection
from activityctl.operations.runs import settle_restore
from activityctl.operations.runs.complete import complete
from activityctl.settings import Settings
from support.engine import Engine
from support.worker import working

OLDER = Path(__file__).parents[2] / "fixtures" / "ledger-0021.backup"
PAID = {"specversion": "1.0", "id": "p", "source": "test", "type": "invoice.paid"}
ALL = Selection(limit=None)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("soon")
async def test_runs_of_an_older_release_end_on_this_one(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle_restore, "LISTED_WITHIN", timedelta(0))
    backup = wiring.open_backup(OLDER)
    assert backup.manifest.schema_revision == "0021"
    url = settings.required_database_url()
    assert wiring.load_backup(url, backup, ["activityctl"], lambda _: None) == []
    lists = engine.ports.run_lists
    before = {task.id: task for task in await lists.tasks(ALL) if task.has_ended}
    open_runs = {run.id for run in await lists.runs(ALL) if not run.has_ended}
    assert (len(before), len(open_runs)) == (5, 8)
    deadline = asyncio.get_running_loop().time() + 200
    async with working(settings):
        await engine.ports.events.add([envelope_of({**PAID, "data": {"order": "o-1"}})])
        while left := [run for run in await lists.runs(ALL) if not run.has_ended]:
            assert asyncio.get_running_loop().time() < deadline, left
            for task in await lists.tasks(ALL):
                if task.kind == "manual" and task.status is TaskStatus.WAITING:
                    answer = Answer({"verdict": "approve"}, None, "test")
                    await complete(engine.ports.waits, task, answer)
            await asyncio.sleep(0.2)
    runs = {run.id: run for run in await lists.runs(ALL)}
    assert {runs[key].status for key in open_runs} == {RunStatus.SUCCEEDED}
    after = {task.id: task for task in await lists.tasks(ALL)}
    assert {key: after[key] for key in before} == before, "a finished task was touched"
    assert {task.status for task in after.values()} == {TaskStatus.SUCCEEDED, TaskStatus.FAILED}
    latest = await engine.ports.restores.latest()
    assert latest is not None
    assert latest.settled_at is not None
