"""How often a run waits for Postgres: each step of its critical path is one round trip."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.admission import begin, new_run
from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringRequest
from activityctl.ports import Claim, LaneEnd
from activityctl.settings import Secret, Settings
from activityctl.steps.record import RecordStep
from support.link import Link
from support.run_store import ended, log_entry

_Answer = TypeVar("_Answer")


class Counted:
    """Ports behind a link, and the round trips of what a test does with them."""

    def __init__(self, ports: wiring.Ports, link: Link) -> None:
        self.ports, self.link = ports, link

    async def trips(self, what: Callable[[], Awaitable[_Answer]]) -> tuple[int, _Answer]:
        before = self.link.round_trips
        answer = await what()
        return self.link.round_trips - before, answer


@pytest.fixture
async def counted(settings: Settings, database_url: str) -> AsyncIterator[Counted]:
    parts = urlsplit(database_url)
    assert parts.hostname
    assert parts.port
    with Link(parts.hostname, parts.port) as link:
        far = replace(settings, database_url=Secret(link.url(database_url)))
        async with wiring.open_ports(far) as ports:
            yield Counted(ports, link)


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_run_of_one_task_has_four_round_trips(counted: Counted, ports: wiring.Ports):
    far = counted.ports
    subscription = await _applied(ports, {"tasks": [_TASK]})
    firing = FiringRequest(subscription, "manual", "manual/1", now())
    stored, _ = await counted.trips(lambda: far.outbox.add([firing], now()))
    assert stored > 1  # and the connection
    before = counted.link.round_trips
    async with far.outbox.claimed(10) as claim:
        claimed = counted.link.round_trips - before
        facts = claim.facts[firing.ref.run_id]
        await _settled(claim)
    spec = (await far.runs.specs_of({facts.revision.id}))[facts.revision.id]
    admitted = facts.admission_input(spec)
    run, decision = begin(new_run(firing.ref, admitted, now()), spec, now())
    change = run_change(run, decision, now())
    opened, _ = await counted.trips(
        lambda: far.runs.open(firing.ref.workflow_id, change, admitted.version)
    )
    (task,) = decision.start
    begun, attempt = await counted.trips(
        lambda: far.runs.begin_attempt(task.id, now(), "here", reads_run=True)
    )
    assert attempt is not None
    recorder = RecordStep(far.runs, now)
    over, orders = await counted.trips(
        lambda: recorder.end_task(run.id, task.id, output={}, known=attempt.known)
    )
    assert orders.is_over
    assert (claimed, opened, begun, over) == (1, 1, 1, 1)


async def test_an_end_that_has_to_be_read_again_has_two(counted: Counted, ports: wiring.Ports):
    far = counted.ports
    subscription = await _applied(ports, {"tasks": [_TASK, {**_TASK, "name": "two"}]})
    run_id, tasks = await _opened(far, subscription)
    await far.runs.begin_attempt(tasks[0].id, now(), "here")
    recorder = RecordStep(far.runs, now)
    trips, orders = await counted.trips(lambda: recorder.end_task(run_id, tasks[0].id, output={}))
    assert (trips, orders.is_over) == (2, False)


async def test_an_instance_of_a_large_for_each_has_one(counted: Counted, ports: wiring.Ports):
    far = counted.ports
    each = {**_TASK, "forEach": list(range(120)), "maxParallel": 2}
    subscription = await _applied(ports, {"tasks": [each]})
    _, tasks = await _opened(far, subscription)
    begun = await far.runs.begin_attempt(tasks[0].id, now(), "here")
    assert begun is not None
    run = (await far.run_lists.runs_of([begun.task.run_id]))[0]
    entry = log_entry(run, "ended", now())
    end = LaneEnd(ended(begun.task, now()), entry, begun.task.id, "here", takes_over=True)
    trips, turn = await counted.trips(lambda: far.lanes.end(end))
    assert turn.next is not None
    assert (trips, turn.next.index) == (1, 2)


_TASK = {"name": "one", "command": {"argv": ["true"]}}


async def _applied(ports: wiring.Ports, spec: Any) -> Any:
    """Store the definition and its subscription; return the id of the subscription."""
    named = {"metadata": {"name": "sample"}}
    definition = ActivityDefinition.model_validate_json(json.dumps({**named, "spec": spec}))
    manifest = SubscriptionManifest.model_validate({**named, "spec": {"activity": "sample"}})
    async with ports.catalog.changing():
        wanted = Wanted({"sample": definition}, {"sample": manifest})
        await ports.catalog.write(plan_changes(wanted, await ports.catalog.present()), now())
    return (await ports.catalog.find_subscription("sample")).id


async def _opened(ports: wiring.Ports, subscription: Any) -> tuple[str, list[TaskInstance]]:
    """Open a run; return its id and the tasks that start."""
    firing = FiringRequest(subscription, "manual", "manual/1", now())
    await ports.outbox.add([firing], now())
    facts = await ports.runs.admission_input(firing.ref)
    assert facts is not None
    run, decision = begin(new_run(firing.ref, facts, now()), facts.spec, now())
    await ports.runs.open(firing.ref.workflow_id, run_change(run, decision, now()))
    return run.id, list(decision.start)


async def _settled(claim: Claim) -> None:
    await claim.dispatched(claim.firings, now())
