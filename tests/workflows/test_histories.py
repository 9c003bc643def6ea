"""Replays recorded histories of real runs with the current workflows.

    python tests/workflows/test_histories.py record [SCENARIO …]

records them again, on its own embedded servers, into `tests/histories/`. Do this only to add a
scenario, which you name, and keep the old files: `cancelled`, `timed-out` and `batch` are of a
time when a run did not wait for its tasks to stop, as those named `waiting` do. If a recorded
history no longer replays, such a run would be stuck after an upgrade.
"""

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from activityctl.domain.timing.firing import FiringRef
from activityctl.errors import NotFoundError
from activityctl.workflows.alarm import AlarmWorkflow
from activityctl.workflows.run_activity import WORKFLOW_NAME, RunActivityWorkflow
from activityctl.workflows.run_batch import RunBatchWorkflow

FOLDER = Path(__file__).parent.parent / "histories"
SLEEPS = {"command": {"argv": ["sleep", "60"]}}
PAGES = [{"name": "page", "command": {"argv": ["true"]}}]
SCENARIOS: Mapping[str, Mapping[str, Any]] = {
    "one-task": {"tasks": [{"name": "one", "command": {"argv": ["true"]}}]},
    "for-each-with-retries": {
        "tasks": [
            {
                "name": "each",
                "forEach": [1, 2, 3],
                "maxParallel": 2,
                "command": {"shell": 'test "$ACTIVITYCTL_ATTEMPT" -ge 2'},
                "retry": {"maxAttempts": 2, "initialInterval": "100ms"},
            },
            {"name": "after", "needs": ["each"], "command": {"argv": ["true"]}},
        ]
    },
    "cancelled": {"tasks": [{"name": "long", **SLEEPS}]},
    "timed-out": {"timeout": "1s", "tasks": [{"name": "long", **SLEEPS}], "onFailure": PAGES},
    "cancelled-waiting": {"tasks": [{"name": "long", **SLEEPS}]},
    "timed-out-waiting": {
        "timeout": "1s",
        "tasks": [{"name": "long", **SLEEPS}],
        "onFailure": PAGES,
    },
    "failed": {"tasks": [{"name": "bad", "command": {"argv": ["false"]}}], "onFailure": PAGES},
    "batch": {
        "tasks": [
            {"name": "one", "command": {"shell": "sleep ${ trigger.payload.seconds }"}},
            {"name": "after", "needs": ["one"], "command": {"argv": ["true"]}},
        ]
    },
}
TRUE = {"command": {"argv": ["true"]}}
FLOW: Mapping[str, Mapping[str, Any]] = {
    "rounds-and-undo": {
        "tasks": [
            {
                "name": "steps",
                "repeat": {"max": 2, "delay": "1s"},
                "tasks": [{"name": "one", **TRUE, "undo": [{"name": "no", **TRUE}]}],
            },
            {"name": "poll", **TRUE, "repeat": {"max": 2, "delay": "1s"}},
            {"name": "bad", "needs": ["steps", "poll"], "command": {"argv": ["false"]}},
        ],
        "onFailure": PAGES,
    },
    "stopped-early": {
        "tasks": [
            {"name": "long", **SLEEPS},
            {"name": "short", "command": {"argv": ["sleep", "1"]}},
            {"name": "enough", "needs": ["short"], "stop": {"status": "succeeded"}},
        ]
    },
    "cancelled-and-undone": {
        "tasks": [
            {"name": "one", **TRUE, "undo": [{"name": "no", **TRUE}]},
            {"name": "long", "needs": ["one"], **SLEEPS},
        ]
    },
}
ONE = [{"name": "one", "command": {"argv": ["true"]}}]
MANY = {"maxAttempts": 100, "initialInterval": "10s"}
LOOKED_UP = {"name": "before", "runs": {}, "retry": MANY}
NEVER_FOUND = {"name": "never", "http": {"url": "https://nowhere.invalid/"}, "retry": MANY}
LOOKUPS: Mapping[str, Mapping[str, Any]] = {
    "looked-up": {"context": [LOOKED_UP], "tasks": ONE},
    "cancelled-lookup": {"context": [NEVER_FOUND], "tasks": ONE},
    "timed-out-lookup": {
        "timeout": "1s",
        "context": [NEVER_FOUND],
        "tasks": ONE,
        "onFailure": PAGES,
    },
}
WAITS = {
    "completed": {
        "tasks": [
            {"name": "pause", "wait": {"for": "500ms"}},
            {"name": "review", "needs": ["pause"], "manual": {"due": "1h"}},
            {"name": "after", "needs": ["review"], **TRUE},
        ]
    }
}
CHAINS = {
    "chain": {
        "tasks": [
            {"name": "a", **TRUE},
            {"name": "b", "needs": ["a"], **TRUE},
            {"name": "c", "needs": ["b"], **TRUE},
            {"name": "d", "needs": ["b"], **TRUE},
            {"name": "e", "needs": ["c", "d"], **TRUE},
        ]
    }
}
SCENARIOS = {
    **SCENARIOS,
    "batch-waiting": SCENARIOS["batch"],
    "batch-shared": SCENARIOS["batch"],
    **FLOW,
    **LOOKUPS,
    **WAITS,
    **CHAINS,
}
BATCH_SECONDS = (0, 1, 60, 0, 1)
"""How long the runs of the batch sleep; the longest one is cancelled."""


def replayer(*workflows: type) -> Replayer:
    return Replayer(workflows=workflows, workflow_runner=UnsandboxedWorkflowRunner())


def history_of(scenario: str) -> WorkflowHistory:
    text = (FOLDER / f"{scenario}.json").read_text("utf-8")
    return WorkflowHistory.from_json(f"run/{scenario}", text)


def test_every_scenario_is_recorded() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} >= set(SCENARIOS)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
async def test_a_recorded_run_can_continue_with_the_current_workflow(path: Path) -> None:
    workflows = (RunActivityWorkflow, RunBatchWorkflow, AlarmWorkflow)
    await replayer(*workflows).replay_workflow(history_of(path.stem))


@workflow.defn(name=WORKFLOW_NAME)
class Changed:
    """A workflow with other commands: an upgrade must not do this to an open run."""

    @workflow.run
    async def run(self, firing: FiringRef) -> str:
        await asyncio.sleep(1)
        return str(firing.run_id)


async def test_a_workflow_with_other_commands_is_noticed() -> None:
    with pytest.raises(workflow.NondeterminismError):
        await replayer(Changed).replay_workflow(history_of("one-task"))


async def record(home: Path) -> None:
    """Run every scenario once with a real worker and write its history."""
    from activityctl import wiring
    from activityctl.daemon.local.state import read_state
    from activityctl.daemon.worker.worker import run_worker
    from activityctl.settings import Secret, load_settings

    addresses = read_state(home).addresses
    settings = replace(
        load_settings({"home": home}, os.environ),
        database_url=Secret(addresses["database_url"]),
        temporal_address=addresses["temporal_address"],
        allow_commands=True,
    )
    ready = asyncio.Event()
    worker = asyncio.create_task(run_worker(settings, on_ready=ready.set))
    await ready.wait()
    async with wiring.open_ports(settings, pool_size=2) as ports:
        client = await wiring.connect_temporal(settings)
        named = sys.argv[2:] or list(SCENARIOS)
        for scenario, spec in ((name, SCENARIOS[name]) for name in named):
            workflow_id, status = await run_once(ports, scenario, spec)
            history = await client.get_workflow_handle(workflow_id).fetch_history()
            (FOLDER / f"{scenario}.json").write_text(anonymous(history), "utf-8")
            print(f"{scenario}: {status}, {len(history.events)} events")
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


async def run_once(ports: Any, scenario: str, spec: Mapping[str, Any]) -> tuple[str, str]:
    from activityctl.domain.gitops.manifest_set import ManifestSet
    from activityctl.domain.manifests.definition import ActivityDefinition
    from activityctl.domain.manifests.subscription import SubscriptionManifest
    from activityctl.operations.gitops.apply import apply
    from activityctl.operations.runs.actions import cancel, trigger

    named = {"metadata": {"name": scenario}}
    definition = ActivityDefinition.model_validate_json(json.dumps({**named, "spec": spec}))
    subscription = SubscriptionManifest.model_validate({**named, "spec": {"activity": scenario}})
    manifests = ManifestSet({scenario: definition}, {scenario: subscription}, {})
    catalog = ports.catalog
    await apply(manifests, catalog, ports.register, ports.workers, now, timeout_seconds=60)
    found = await catalog.find_subscription(scenario)
    if scenario.startswith("batch"):
        return await run_batch(ports, found.id)
    firing = await trigger(catalog, ports.outbox, found, now())
    if scenario == "completed":
        await complete_review(ports, firing.ref.run_id)
    if scenario.startswith("cancelled"):
        await asyncio.sleep(1)
        await cancel(ports.runs, ports.run_lists, firing.ref.run_id, now())
    return firing.ref.workflow_id, await end_of(ports, firing.ref.run_id)


async def complete_review(ports: Any, run_id: str) -> None:
    from activityctl.domain.runs.waiting import Answer
    from activityctl.operations.runs.complete import complete, find_task

    while True:
        try:
            task = await find_task(ports.run_lists, f"{run_id}/review")
        except NotFoundError:
            await asyncio.sleep(0.05)
        else:
            break
    await complete(ports.waits, task, Answer({"ok": True}, by="somebody"))


async def run_batch(ports: Any, owner: Any) -> tuple[str, str]:
    from activityctl.domain.runs.workflow_batches import split_into_batches
    from activityctl.domain.timing.firing import FiringRequest
    from activityctl.operations.runs.actions import cancel

    requests = [
        FiringRequest(owner, "manual", f"key-{number}", now(), {"seconds": seconds})
        for number, seconds in enumerate(BATCH_SECONDS)
    ]
    await ports.outbox.add(requests, now())
    facts = await ports.runs.admission_input(requests[0].ref)
    firings = [request.ref for request in requests]
    ((first, *_),) = split_into_batches(firings, {firing.run_id: facts.spec for firing in firings})
    await asyncio.sleep(1)
    await cancel(ports.runs, ports.run_lists, requests[2].ref.run_id, now())
    ends = [await end_of(ports, request.ref.run_id) for request in requests]
    return first.workflow_id, ", ".join(ends)


async def end_of(ports: Any, run_id: str) -> str:
    while True:
        state = await ports.runs.load(run_id)
        if state is not None and state.run.has_ended:
            await asyncio.sleep(0.5)  # the workflow ends shortly after its run
            return str(state.run.status)
        await asyncio.sleep(0.05)


def anonymous(history: WorkflowHistory) -> str:
    """Return the history without the names and paths of the machine that recorded it."""
    text = json.dumps(without_traces(json.loads(history.to_json())), indent=1)
    return text.replace(f"@{socket.gethostname()}", "@machine") + "\n"


def without_traces(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: without_traces(child) for key, child in value.items() if key != "stackTrace"
            }
        case list():
            return [without_traces(item) for item in value]
        case _:
            return value


def now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    from activityctl.daemon.local.detached import start_detached
    from activityctl.daemon.local.supervisor import stop_daemon

    if sys.argv[1:2] != ["record"]:
        sys.exit(__doc__)
    program = (
        "import asyncio, os, sys, pathlib\n"
        "from activityctl import wiring\n"
        "from activityctl.daemon.local.supervisor import Hooks, supervise\n"
        "hooks = Hooks(migrate=lambda url: asyncio.to_thread(wiring.migrate, url))\n"
        "asyncio.run(supervise(pathlib.Path(sys.argv[1]), [], hooks, os.environ))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        start_detached(home, [sys.executable, "-c", program, folder], os.environ)
        try:
            asyncio.run(record(home))
        finally:
            stop_daemon(home)
    sys.stdout.flush()
    os._exit(0)  # the SDK's client may crash at the exit of the interpreter


if __name__ == "__main__":
    main()
