"""The DeadLetters port: retried and discarded once, by whom, and with which result."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.dead_letter import (
    DeadLetter,
    LetterFilter,
    LetterOutcome,
    LetterRequest,
    LetterStatus,
)
from activityctl.domain.runs.run import Decision, Run, RunEnd, RunStatus, TaskStatus
from activityctl.domain.runs.run_change import RunChange, run_change
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.log import LogFilter
from activityctl.domain.values.selection import Selection
from support.run_store import state_of

MakeRun = Callable[..., Awaitable[Run]]
BY_ANN = LetterRequest("ann", "the server is back")


@pytest_asyncio.fixture(loop_scope="session")
async def failed(ports: wiring.Ports, make_run: MakeRun, now: datetime) -> Run:
    """Return a run whose second task failed, with its dead letter."""
    return await fail(ports, await make_run("k", tasks=2, payload={"a": 1}), now)


async def fail(ports: wiring.Ports, run: Run, now: datetime) -> Run:
    state = await state_of(ports, run)
    (first, second) = state.tasks
    ended = (
        replace(first, status=TaskStatus.SUCCEEDED, output="one", ended_at=now),
        replace(second, status=TaskStatus.FAILED, error="503", ended_at=now),
    )
    decision = Decision(end=RunEnd(RunStatus.FAILED, "task note[1] failed: 503 Unavailable"))
    async with ports.runs.locked(run.id) as locked:
        await locked.save(run_change(run, decision, now, update=ended))
    return run


async def letter_of(ports: wiring.Ports, run: Run) -> DeadLetter:
    (letter,) = await ports.run_lists.dead_letters(Selection(run_id=run.id))
    return letter


async def end(ports: wiring.Ports, run_id: ids.RunId, status: RunStatus, now: datetime) -> None:
    """Admit the retry and end it like this."""
    (run,) = [each for each in await accepted(ports) if each.id == run_id]
    firing = FiringRequest(run.subscription_id, run.trigger, run.firing_key, run.due_at).ref
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    opened = replace(new_run(firing, facts, now), status=status, started_at=now, ended_at=now)
    await ports.runs.open(firing.workflow_id, RunChange(opened))


async def accepted(ports: wiring.Ports) -> list[Run]:
    return await ports.run_lists.accepted(Selection())


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        ("main", "task stop[2] failed: exit code 1"),
        (
            "onSuccess",
            "continueOnError allowed that of note; onSuccess task stop[2] failed: 1",
        ),
    ],
)
async def test_a_letter_is_about_the_task_that_its_run_failed_for(
    ports: wiring.Ports, make_run: MakeRun, now: datetime, phase: str, reason: str
):
    """Another one had failed before, and its failure was allowed."""
    run = await make_run("allowed")
    (allowed,) = (await state_of(ports, run)).tasks
    allowed = replace(allowed, status=TaskStatus.FAILED, error="exit code 1", ended_at=now)
    last = replace(allowed, id=ids.task_id(run.id, "stop", 2), name="stop", index=2, of=3)
    last = replace(last, phase=phase)
    decision = Decision((last,), end=RunEnd(RunStatus.FAILED, reason))
    async with ports.runs.locked(run.id) as locked:
        await locked.save(run_change(run, decision, now, update=(allowed,)))
    assert (await letter_of(ports, run)).task == "stop[2]"
    for name, count in {"stop": 1, "stop[2]": 1, "note": 0}.items():
        found = await ports.run_lists.dead_letters(
            Selection(run_id=run.id), LetterFilter(task=name)
        )
        assert len(found) == count, name


async def test_a_letter_says_what_failed_and_is_found_by_it(
    ports: wiring.Ports, failed: Run, mine: Subscription
):
    letter = await letter_of(ports, failed)
    assert (letter.subscription, letter.definition, letter.trigger) == ("mine", "digest", "manual")
    assert (letter.task, letter.status) == ("note", LetterStatus.OPEN)

    async def found(letters: LetterFilter = LetterFilter(), **selection: Any) -> bool:  # noqa: B008
        return bool(await ports.run_lists.dead_letters(Selection(**selection), letters))

    assert await found(LetterFilter("digest", "note", "503 unavail"), statuses=("open",))
    for other in (LetterFilter("x"), LetterFilter(task="x"), LetterFilter(error="404")):
        assert not await found(other)
    assert not await found(labels={"team": "x"})
    assert not await found(statuses=("retried", "discarded"))
    assert not await found(until=letter.created_at)
    assert await ports.run_lists.open_letters([mine.id, "x"]) == {mine.id: 1}
    assert await ports.run_lists.open_letters(["x"]) == {}


async def test_a_letter_that_is_retried_twice_at_once_starts_one_run(
    ports: wiring.Ports, failed: Run, now: datetime
):
    letter = await letter_of(ports, failed)
    at = now + timedelta(minutes=1)
    results = await asyncio.gather(
        *(ports.letters.retry([letter.id, "unknown"], BY_ANN, at) for _ in range(2))
    )
    run_id = ids.run_id(failed.subscription_id, "manual", ids.retry_key(failed.id, 1))
    retried = LetterOutcome(letter.id, "retried", run_id)
    assert sorted(results, key=str) == sorted(
        [[retried], [LetterOutcome(letter.id, "not_open")]], key=str
    )
    (run,) = await accepted(ports)
    assert (run.id, run.due_at, run.revision_id) == (run_id, failed.due_at, failed.revision_id)
    after = await letter_of(ports, failed)
    assert after.status is LetterStatus.RETRIED
    (action,) = await ports.letters.actions(letter.id)
    assert (action.actor, action.reason, action.created_at) == ("ann", "the server is back", at)
    assert (action.run_id, action.run_status) == (run_id, None)
    assert await ports.run_lists.open_letters([failed.subscription_id]) == {}


async def test_the_run_of_a_retry_has_the_firing_and_what_the_failed_run_saw(
    ports: wiring.Ports, failed: Run, now: datetime
):
    letter = await letter_of(ports, failed)
    for new_keys in (False, True):
        request = LetterRequest("ann", new_keys=new_keys)
        (outcome,) = await ports.letters.retry([letter.id], request, now)
        (accepted_run,) = await accepted(ports)
        firing = FiringRequest(
            failed.subscription_id, "manual", accepted_run.firing_key, failed.due_at
        ).ref
        facts = await ports.runs.admission_input(firing)
        assert facts is not None
        assert facts.replayed is not None
        run = new_run(firing, facts, now)
        assert (run.id, run.replay_of, run.first_key) == (outcome.run_id, failed.id, "k")
        assert run.payload == {"a": 1}
        assert run.key_run == failed.id
        assert run.fresh_keys == ({"*": run.id} if new_keys else {})
        await end(ports, run.id, RunStatus.CANCELLED, now)  # so that the letter is open again


@pytest.mark.parametrize("status", [RunStatus.SKIPPED, RunStatus.CANCELLED, RunStatus.MISSED])
async def test_a_letter_is_open_again_if_its_retry_did_not_try(
    ports: wiring.Ports, failed: Run, now: datetime, status: RunStatus
):
    letter = await letter_of(ports, failed)
    (first,) = await ports.letters.retry([letter.id], BY_ANN, now)
    assert first.run_id is not None
    await end(ports, first.run_id, status, now)
    assert (await letter_of(ports, failed)).status is LetterStatus.OPEN
    (second,) = await ports.letters.retry([letter.id], BY_ANN, now)
    assert second.run_id not in (None, first.run_id)
    assert second.run_id is not None
    await end(ports, second.run_id, RunStatus.SUCCEEDED, now)
    after = await letter_of(ports, failed)
    assert after.status is LetterStatus.RETRIED
    assert after.actions[-1].run_status is RunStatus.SUCCEEDED
    assert [action.number for action in await ports.letters.actions(letter.id)] == [1, 2]


async def test_a_discarded_letter_is_closed(ports: wiring.Ports, failed: Run, now: datetime):
    letter = await letter_of(ports, failed)
    request = LetterRequest("ann", "paid by hand")
    assert await ports.letters.discard([letter.id], request, now) == [
        LetterOutcome(letter.id, "discarded")
    ]
    for act in (ports.letters.discard, ports.letters.retry):
        assert await act([letter.id], request, now) == [LetterOutcome(letter.id, "not_open")]
    assert (await letter_of(ports, failed)).status is LetterStatus.DISCARDED
    assert await accepted(ports) == []


async def test_a_letter_of_a_deleted_subscription_stays_open(
    ports: wiring.Ports, failed: Run, now: datetime, remove: Callable[..., Awaitable[Any]]
):
    letter = await letter_of(ports, failed)
    await remove("mine")
    assert await ports.letters.retry([letter.id], BY_ANN, now) == [
        LetterOutcome(letter.id, "deleted")
    ]
    assert (await letter_of(ports, failed)).status is LetterStatus.OPEN


async def test_a_retry_does_not_store_an_older_state_over_a_newer_one(
    ports: wiring.Ports, make_run: MakeRun, mine: Subscription, now: datetime
):
    failed = await make_run("old", status=RunStatus.FAILED)
    again = replace(failed, replay_of=failed.id, key_run=failed.id)

    async def kept_by(run: Run, state: dict[str, int]) -> Any:
        async with ports.runs.locked(run.id) as locked:
            await locked.save(RunChange(run, keep_state=state))
        return (await ports.catalog.find_subscription("mine")).state

    assert await kept_by(again, {"n": 1}) == {"n": 1}
    newer = await make_run("new", at=now + timedelta(hours=1), status=RunStatus.SUCCEEDED)
    assert await kept_by(newer, {"n": 2}) == {"n": 2}
    assert await kept_by(again, {"n": 1}) == {"n": 2}
    assert mine.state == {}


async def replay(
    ports: wiring.Ports, make_run: MakeRun, before: Run, key: str, status: RunStatus, now: datetime
) -> Run:
    """Make a replay of the run, and end it like this."""
    run = await make_run(key, at=now, replay_of=before.id)
    at = now + timedelta(seconds=5)
    async with ports.runs.locked(run.id) as locked:
        await locked.save(run_change(run, Decision(end=RunEnd(status)), at))
    return run


async def test_a_replay_that_succeeds_closes_the_letters_of_the_runs_that_it_repeats(
    ports: wiring.Ports, failed: Run, make_run: MakeRun, now: datetime
):
    async def statuses(*runs: Run) -> list[str]:
        return [(await letter_of(ports, run)).status.value for run in runs]

    other = await fail(ports, await make_run("other", tasks=2), now)
    at = now + timedelta(minutes=1)
    second = await replay(ports, make_run, failed, "second", RunStatus.FAILED, at)
    late = await replay(
        ports, make_run, failed, "late", RunStatus.FAILED, at + timedelta(minutes=9)
    )
    assert await statuses(failed, second, late, other) == ["open"] * 4
    third = await replay(
        ports, make_run, second, "third", RunStatus.SUCCEEDED, at + timedelta(minutes=1)
    )
    assert await statuses(failed, second, late, other) == ["replayed", "replayed", "open", "open"]
    assert await ports.run_lists.open_letters([failed.subscription_id]) == {
        failed.subscription_id: 2
    }
    letter = await letter_of(ports, failed)
    (action,) = await ports.letters.actions(letter.id)
    reason = "a replay of its run has succeeded"
    assert (action.actor, action.reason) == ("activityctl", reason)
    assert (action.run_id, action.run_status) == (third.id, RunStatus.SUCCEEDED)
    wanted = LogFilter((failed.subscription_id,), run_id=failed.id)
    entries, _ = await ports.logbook.last(wanted, 1)
    assert [entry.message for entry in entries] == [f"dead letter closed: {reason}, run {third.id}"]
    for act in (ports.letters.discard, ports.letters.retry):
        assert await act([letter.id], BY_ANN, at) == [LetterOutcome(letter.id, "not_open")]
