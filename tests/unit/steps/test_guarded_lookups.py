"""Lookups of the context behind a breaker: held up, carried on, and recorded."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.tasks.breaker import Breaker, BreakerStatus
from activityctl.domain.values.log import LogEntry
from activityctl.errors import InvalidInputError, TaskError
from activityctl.ports import BegunLookup, BreakerChange, GuardedLookup, Hold, LookupEnd
from activityctl.steps.deciding import Deciding
from activityctl.steps.guarded_lookups import GuardedLookups
from activityctl.steps.log_writer import LogWriter
from activityctl.steps.resolve import ContextLookup
from support.runs import begun_run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OPENED = BreakerChange(
    Breaker("crm", BreakerStatus.CLOSED, NOW), Breaker("crm", BreakerStatus.OPEN, NOW, "2 failures")
)


class Source:
    kind = "scripted"

    def __init__(self, *values: Any) -> None:
        self.values = list(values)
        self.asked: list[tuple[str, int]] = []

    class body:  # noqa: N801  # the protocol's name
        @staticmethod
        def model_validate_json(text: str) -> Any:
            return json.loads(text)

    async def resolve(self, _body: Any, call: Any) -> Any:
        self.asked.append((call.name, call.attempt))
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        return value


class Bench:
    """A lookup whose guards answer in turn."""

    def __init__(self, source: Source, *answers: BegunLookup | Hold) -> None:
        self.answers = list(answers)
        self.ends: list[LookupEnd] = []
        self.entries: list[LogEntry] = []
        self.waits: list[float] = []
        ports: Any = SimpleNamespace(
            begin_lookup=self.begin, settle_lookup=self.settle, append=self.append
        )
        log = LogWriter(ports)
        guarded = GuardedLookups(ports, log, "here", lambda: NOW, self.sleep)
        sources: Any = {"scripted": source}
        self.lookup = ContextLookup(
            sources, lambda: NOW, Deciding(), log, sleep=self.sleep, guarded=guarded
        )
        self.run = begun_run_of(NOW)

    async def begin(self, lookup: GuardedLookup, *_: Any, **__: Any) -> BegunLookup | Hold:
        assert lookup.id == f"{self.run.id}/context/{lookup.name}"
        return self.answers.pop(0)

    async def settle(self, _lookup: Any, end: LookupEnd, _now: datetime) -> BreakerChange | None:
        self.ends.append(end)
        return OPENED if end.is_fault else None

    async def append(self, entries: Sequence[LogEntry]) -> None:
        self.entries += entries

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def values(self, **policy: Any) -> Any:
        guarded = {"name": "b", "scripted": {}, "breaker": {"name": "crm"}, **policy}
        context = [{"name": "a", "scripted": {}}, guarded]
        spec = {"context": context, "tasks": [{"name": "t", "command": {"argv": ["true"]}}]}
        whole = DefinitionSpec.model_validate_json(json.dumps(spec))
        return (await self.lookup(self.run, whole)).context


def hold(seconds: float, **fields: Any) -> Hold:
    return Hold("b", "crm", True, seconds, NOW + timedelta(seconds=seconds), True, **fields)


async def test_a_long_wait_leaves_the_worker_and_goes_on_with_what_it_had():
    source = Source("first", TaskError("503", code="unreachable"), "second")
    bench = Bench(source, BegunLookup(1), hold(30.0, reason="2 failures"), BegunLookup(2))
    retry = {"maxAttempts": 2, "initialInterval": "1s"}
    with pytest.raises(ApplicationError) as caught:
        await bench.values(retry=retry)
    assert (caught.value.type, caught.value.next_retry_delay) == ("held", timedelta(seconds=30))
    assert bench.lookup.is_held(bench.run.id)
    assert await bench.values(retry=retry) == {"a": "first", "b": "second"}
    assert not bench.lookup.is_held(bench.run.id)
    assert source.asked == [("a", 1), ("b", 1), ("b", 2)], "a is not asked again"
    told = [(end.number, end.outcome.value, end.is_fault, end.error) for end in bench.ends]
    assert told == [(1, "failed", True, "503"), (2, "succeeded", False, None)]
    texts = [entry.message for entry in bench.entries]
    assert "breaker crm opened: 2 failures" in texts
    assert "context b waits for breaker crm, which is open: 2 failures" in texts


async def test_a_short_wait_stays_in_the_worker():
    bench = Bench(Source("first", "second"), hold(0.2), BegunLookup(1))
    assert await bench.values() == {"a": "first", "b": "second"}
    assert bench.waits == [0.2]


async def test_a_lookup_may_fail_fast_or_use_its_default():
    bench = Bench(Source("first"), hold(30.0, fails=True, reason="moving"))
    with pytest.raises(InvalidInputError, match="context b: breaker crm is open: moving"):
        await bench.values()
    bench = Bench(Source("first"), hold(30.0, fails=True))
    assert await bench.values(optional=True, default=7) == {"a": "first", "b": 7}
    assert bench.ends == []
