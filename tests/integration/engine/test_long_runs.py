"""The run engine: runs with more calls than one history of Temporal may have."""

import pytest
from temporalio.client import Client

from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.workflows import renewal
from integration.engine.test_recovery import workflow_of
from support.engine import Engine


@pytest.mark.usefixtures("worker")
async def test_a_guarded_for_each_and_a_loop_keep_each_history_short(
    engine: Engine, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt behind a limit is a call of its own: 10,000 of them are 60,000 events."""
    monkeypatch.setattr(renewal, "RENEW_FROM", 40)
    client = await Client.connect(servers["temporal_address"])
    tell = {"emit": {"type": "item.done", "data": {"n": "${ item }"}}}
    items = {"forEach": list(range(110)), "maxParallel": 4, "limit": "calls"}
    round_ = {"emit": {"type": "round.done"}, "repeat": {"max": 3, "delay": "1s"}}
    await engine.apply(
        {
            "limits": [{"name": "calls", "rate": 500, "burst": 100}],
            "tasks": [
                {"name": "each", **items, **tell},
                {"name": "loop", **round_},
                {"name": "after", "needs": ["each", "loop"], "value": "${ tasks.each.status }"},
            ],
        }
    )
    run_id = await engine.fire()
    workflow_id = ""
    while not workflow_id:
        if await engine.tasks(run_id):
            workflow_id = await workflow_of(engine, run_id)
    run = await engine.ended(run_id, 180)
    assert (run.status, run.reason) == (RunStatus.SUCCEEDED, None)
    state = await engine.ports.runs.load(run_id)
    assert state is not None
    told = [task for task in state.tasks if task.kind == "emit"]
    assert [task.status for task in told] == [TaskStatus.SUCCEEDED] * 113
    repeated = sum(task.attempts for task in told) - 113
    assert repeated <= 3, "a new history repeats none; a busy machine may lose an attempt"
    assert [task.output for task in state.tasks if task.name == "after"] == ["succeeded"]
    lengths = []
    async for described in client.list_workflows(f"WorkflowId = '{workflow_id}'"):
        handle = client.get_workflow_handle(workflow_id, run_id=described.run_id)
        lengths.append(len((await handle.fetch_history()).events))
    print(f"histories of {sorted(lengths)} events")
    assert len(lengths) > 1
    assert max(lengths) < 400
