"""The `emit` task: one event for each task instance, for any number of attempts; no cycles."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activityctl import wiring
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.runs.run import Run
from activityctl.errors import TaskError, UnreachableError
from activityctl.executors.emit import (
    HOPS,
    MAX_HOPS,
    RUN,
    EmitBody,
    EmitExecutor,
    hops_of,
    shortened,
)
from activityctl.ports import ExecutorOutcome, TaskCall
from activityctl.steps.limited import parse_body

MakeRun = Callable[..., Awaitable[Run]]


async def silent(_level: str, _message: str, _metadata: Mapping[str, Any]):
    pass


def a_call(run: Run, task: str = "task-1", attempt: int = 1) -> TaskCall:
    return TaskCall(
        run_id=run.id,
        task_id=task,
        name="tell",
        index=0,
        attempt=attempt,
        idempotency_key=task,
        timeout_seconds=10.0,
        log=silent,
    )


async def emit(
    ports: wiring.Ports,
    run: Run,
    body: Mapping[str, Any],
    *,
    attempt: int = 1,
    at: datetime | None = None,
) -> ExecutorOutcome:
    executor = EmitExecutor(ports.events, ports.runs, lambda: at or datetime.now(UTC))
    try:
        return await executor.execute(parse_body(executor, body), a_call(run, attempt=attempt))
    finally:
        await executor.close()


async def refused(ports: wiring.Ports, run: Run, body: Mapping[str, Any]) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await emit(ports, run, body)
    return caught.value


async def test_an_event_needs_only_a_type(ports: wiring.Ports, make_run: MakeRun):
    run = await make_run("a")
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    outcome = await emit(ports, run, {"type": "order.reviewed"}, at=at)
    expected = {"id": "task-1", "source": "/activityctl/mine", "outcome": "accepted"}
    assert outcome.output == expected
    kept = await ports.events.find_event("task-1")
    assert kept.document == {
        "specversion": "1.0",
        "id": "task-1",
        "source": "/activityctl/mine",
        "type": "order.reviewed",
        "time": "2026-05-01T12:00:00Z",
        HOPS: 1,
        RUN: run.id,
    }


async def test_every_field_of_an_event_can_be_given(ports: wiring.Ports, make_run: MakeRun):
    run = await make_run("a")
    said = {"type": "t", "source": "/x", "subject": "s", "id": "i", "data": {"a": [1, None]}}
    outcome = await emit(ports, run, {**said, "extensions": {"tenant": "eu", "level": 3}})
    assert outcome.output == {"id": "i", "source": "/x", "outcome": "accepted"}
    document = (await ports.events.find_event("i")).document
    assert {name: document[name] for name in said} == said
    assert (document["tenant"], document["level"]) == ("eu", 3)


async def test_data_that_is_null_is_kept_and_data_left_out_is_not(
    ports: wiring.Ports, make_run: MakeRun
):
    run = await make_run("a")
    await emit(ports, run, {"type": "t", "id": "null", "data": None})
    await emit(ports, run, {"type": "t", "id": "none"})
    documents = [(await ports.events.find_event(name)).document for name in ("null", "none")]
    assert ["data" in document for document in documents] == [True, False]


async def test_another_attempt_emits_the_same_event(ports: wiring.Ports, make_run: MakeRun):
    run, at = await make_run("a"), datetime(2026, 5, 1, tzinfo=UTC)
    body = {"type": "t", "data": {"a": 1}}
    first = await emit(ports, run, body, at=at)
    again = await emit(ports, run, body, attempt=2, at=at + timedelta(minutes=5))
    assert [first.output["outcome"], again.output["outcome"]] == ["accepted", "duplicate"]


async def test_an_event_in_conflict_fails_the_task_for_good(ports: wiring.Ports, make_run: MakeRun):
    run = await make_run("a")
    await emit(ports, run, {"type": "t", "id": "i", "data": 1})
    error = await refused(ports, run, {"type": "t", "id": "i", "data": 2})
    assert (error.task_code, error.may_retry) == ("conflict", False)
    assert "event i of /activityctl/mine with other content is already stored" in error.message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"type": ""}, "type: is empty"),
        ({"type": "t", "id": ""}, "id: is empty"),
        ({"type": "t", "source": "a\x00b"}, "source: contains U+0000 at character 2"),
        (
            {"type": "t", "extensions": {"not-a-name": "x"}},
            "not-a-name: is not a valid attribute name",
        ),
        ({"type": "t", "data": "x" * 1024 * 1024}, "larger than 1,048,576 bytes"),
    ],
)
async def test_an_invalid_event_fails_the_task_for_good(
    ports: wiring.Ports, make_run: MakeRun, body: dict[str, Any], reason: str
):
    error = await refused(ports, await make_run("a"), body)
    assert (error.task_code, error.may_retry) == ("bad_input", False)
    assert reason in error.message


@pytest.mark.parametrize("name", [HOPS, RUN])
def test_extensions_cannot_set_the_hop_count(name: str):
    with pytest.raises(ValidationError, match="is set by activityctl; choose another name"):
        EmitBody.model_validate({"type": "t", "extensions": {name: 0}})


class UnreachableStore:
    """An event store that does not answer."""

    async def add(self, _events: list[EventEnvelope]) -> list[EmitOutcome]:
        raise UnreachableError("Postgres does not answer")


async def test_an_attempt_is_repeated_if_the_store_does_not_answer(
    ports: wiring.Ports, make_run: MakeRun
):
    run = await make_run("a")
    executor = EmitExecutor(UnreachableStore(), ports.runs)
    with pytest.raises(TaskError, match="does not answer") as caught:
        await executor.execute(EmitBody(type="t"), a_call(run))
    assert caught.value.may_retry


# ---- hops


def an_event(hops: Any, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "x", "source": "/x", "type": "t", HOPS: hops, **more}


async def test_an_event_has_one_hop_more_than_those_that_led_to_it(
    ports: wiring.Ports, make_run: MakeRun
):
    run = await make_run("a", events=(an_event(3), an_event(7), an_event(5)))
    await emit(ports, run, {"type": "t"})
    assert (await ports.events.find_event("task-1")).document[HOPS] == 8


@pytest.mark.parametrize("odd", ["9", -4, True, None])
def test_an_invalid_hop_count_is_zero(odd: Any):
    assert hops_of(an_event(odd)) == 0


async def test_a_cycle_is_stopped_and_its_subscriptions_are_named(
    ports: wiring.Ports, make_run: MakeRun
):
    first = await make_run("a", events=(an_event(MAX_HOPS - 1),))
    assert (await emit(ports, first, {"type": "t"})).output["outcome"] == "accepted"
    last = await make_run("b", events=(an_event(MAX_HOPS, **{RUN: first.id}),))
    error = await refused(ports, last, {"type": "t", "id": "never"})
    assert (error.task_code, error.may_retry) == ("too_many_hops", False)
    assert "16 emit tasks one after the other led to this run" in error.message
    assert "mine -> mine;" in error.message


async def test_a_cycle_is_stopped_if_its_runs_are_unknown(ports: wiring.Ports, make_run: MakeRun):
    run = await make_run("a", events=(an_event(MAX_HOPS, **{RUN: "gone"}),))
    assert "cycle: mine;" in (await refused(ports, run, {"type": "t"})).message


@pytest.mark.parametrize(
    ("chain", "shown"),
    [("a", "a"), ("abc", "abc"), ("ababa", "aba"), ("xaa", "aa"), ("xabcabc", "cabc")],
)
def test_a_chain_with_a_cycle_is_shown_as_one_cycle(chain: str, shown: str):
    assert "".join(shortened(list(chain))) == shown
