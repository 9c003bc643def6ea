"""The lookup of a run's context: attempts, time limits, defaults, and the name of what failed."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.model import Manifest
from activityctl.errors import InvalidInputError, TaskError, UnreachableError
from activityctl.ports import SourceCall
from activityctl.steps.deciding import Deciding
from activityctl.steps.log_writer import LogWriter
from activityctl.steps.resolve import ContextLookup

NOW = datetime(2026, 5, 1, tzinfo=UTC)
RUN = Run(
    id=ids.RunId("run-1"),
    subscription_id=ids.subscription_id("mine"),
    subscription="mine",
    definition="mine",
    revision_id=ids.RevisionId("rev-1"),
    trigger="manual",
    firing_key="k",
    due_at=NOW,
    status=RunStatus.QUEUED,
    created_at=NOW,
    state={"last": 7},
)


class AnyBody(Manifest):
    value: Any = None


class Scripted:
    """A source that raises or returns the next item; it remembers the attempts."""

    kind: ClassVar[str] = "scripted"
    body: ClassVar[type[BaseModel]] = AnyBody

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.calls: list[SourceCall] = []

    async def resolve(self, body: AnyBody, call: SourceCall) -> Any:
        self.calls.append(call)
        result = self.results.pop(0) if self.results else body.value
        if isinstance(result, BaseException):
            raise result
        if result is Ellipsis:
            await asyncio.sleep(60)
        return result


class Log:
    def __init__(self) -> None:
        self.entries: list[LogEntry] = []

    async def append(self, entries: Sequence[LogEntry]) -> None:
        self.entries += entries


class Bench:
    def __init__(self, source: Scripted) -> None:
        self.log = Log()
        self.waits: list[float] = []
        logbook: Any = self.log
        self.lookup = ContextLookup(
            {"scripted": source}, lambda: NOW, Deciding(), LogWriter(logbook), sleep=self._sleep
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def values(self, *context: dict[str, Any]) -> Any:
        spec = {"context": context, "tasks": [{"name": "a", "command": {"argv": ["true"]}}]}
        run = await self.lookup(RUN, DefinitionSpec.model_validate_json(json.dumps(spec)))
        return run.context


def item(name: str = "a", value: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"name": name, "scripted": {"value": value}, **fields}


async def test_each_source_sees_the_values_above_it():
    bench = Bench(Scripted())
    values = await bench.values(item("a", 1), item("b", "${ context.a + 1 }"))
    assert values == {"a": 1, "b": 2}


async def test_failed_attempts_are_repeated_with_their_waits_and_logged():
    source = Scripted(TaskError("busy", retry_after_seconds=7), TaskError("busy"), "done")
    bench = Bench(source)
    retry = {"maxAttempts": 3, "initialInterval": "2s"}
    assert await bench.values(item(retry=retry)) == {"a": "done"}
    assert bench.waits[0] >= 7
    assert [call.attempt for call in source.calls] == [1, 2, 3]
    assert "context a: attempt 1 failed, the next one is in" in bench.log.entries[0].message


@pytest.mark.parametrize(
    "error",
    [TaskError("no", retryable=False), InvalidInputError("no"), TaskError("no"), ValueError("no")],
)
async def test_a_required_source_that_fails_raises_its_name(error: Exception):
    retry = {"maxAttempts": 2} if not getattr(error, "may_retry", False) else {}
    bench = Bench(Scripted(error))
    with pytest.raises(InvalidInputError, match=r"^context a: .*no"):
        await bench.values(item(**({"retry": retry} if retry else {})))
    assert bench.waits == []


async def test_an_optional_source_that_fails_has_its_default_and_a_warning():
    bench = Bench(Scripted(TaskError("gone", retryable=False)))
    value = await bench.values(item(optional=True, default={"last": "${ state.last }"}))
    assert value == {"a": {"last": 7}}
    message = "context a: its default is used, because it failed: gone"
    assert [(entry.level, entry.message) for entry in bench.log.entries] == [("warning", message)]
    bench = Bench(Scripted(TaskError("gone", retryable=False)))
    assert await bench.values(item(optional=True)) == {"a": None}


async def test_an_expression_of_the_body_that_fails_counts_as_a_failure():
    bench = Bench(Scripted())
    with pytest.raises(InvalidInputError, match="context a: "):
        await bench.values(item(value="${ state.none }"))
    assert await bench.values(item(value="${ state.none }", optional=True, default=1)) == {"a": 1}


async def test_a_source_that_does_not_end_is_stopped():
    bench = Bench(Scripted(...))
    with pytest.raises(InvalidInputError, match=r"context a: no result within 0.01 s \(timeout\)"):
        await bench.values(item(timeout="10ms"))


async def test_an_outage_of_postgres_is_no_failure_of_the_source():
    bench = Bench(Scripted(UnreachableError("Postgres does not answer")))
    with pytest.raises(UnreachableError):
        await bench.values(item(optional=True))


async def test_the_source_knows_the_run_and_its_limit():
    source = Scripted()
    await Bench(source).values(item("a"), item("b", timeout="3s"))
    call = source.calls[1]
    assert (call.name, call.timeout_seconds) == ("b", 3)
    assert call.run == replace(RUN, context={"a": 1})
