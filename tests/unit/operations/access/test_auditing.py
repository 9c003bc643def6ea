"""A change is recorded before it is made: what breaks it off leaves the entry that it was begun."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from activityctl.adapters.memory.access import MemoryAuditTrail, MemoryTokens
from activityctl.domain.access.audit import BEGUN, AuditEntry
from activityctl.domain.access.scope import parse_scope
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, OutcomeUnknownError, TooSlowError, UnreachableError
from activityctl.operations.access.auditing import audited
from activityctl.operations.access.tokens import create_token, revoke_token
from activityctl.operations.runs.many import REFUSED, Outcome, act_on_each

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = AuditEntry("e1", NOW, "me", "pause", "subscription/shop", BEGUN, None, "r1")
OUTAGE = UnreachableError("Postgres does not answer")


class Trail(MemoryAuditTrail):
    """Fails at the insertions that `fails` names: the first is 0."""

    def __init__(self, *fails: int) -> None:
        super().__init__()
        self.fails = fails
        self.count = 0

    def _insert(self) -> None:
        self.count += 1
        if self.count - 1 in self.fails:
            raise OUTAGE

    async def begin(self, entry: AuditEntry) -> None:
        self._insert()
        await super().begin(entry)

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        self._insert()
        await super().add(entries)

    async def outcomes(self) -> list[tuple[str, JsonValue]]:
        return [(each.outcome, dict(each.details)) for each in await self.entries(Selection())]


async def change(trail: Trail, error: BaseException | None = None) -> list[str]:
    """Do a change that is broken off by the error; return what was done of it."""
    done = []
    details: dict[str, JsonValue] = {}
    async with audited(trail, FIRST, details, lambda: NOW - timedelta(hours=1)):
        done.append("begun")
        details["outcome"] = "paused"
        if error is not None:
            raise error
    return done


async def test_a_change_is_listed_once_and_later_than_it_was_begun():
    trail = Trail()
    await change(trail)
    (entry,) = await trail.entries(Selection())
    assert (entry.outcome, entry.details, entry.closes) == ("done", {"outcome": "paused"}, "e1")
    assert entry.at > NOW
    (begun,) = await trail.entries(Selection(name="e1"))
    assert begun == FIRST


async def test_a_refusal_closes_the_entry():
    trail = Trail()
    with pytest.raises(ConflictError):
        await change(trail, ConflictError("it has ended"))
    assert await trail.outcomes() == [("conflict", {"outcome": "paused"})]


@pytest.mark.parametrize(
    "error", [OUTAGE, TooSlowError("ended"), asyncio.CancelledError(), KeyError("a bug")]
)
async def test_a_change_that_is_broken_off_stays_begun(error: BaseException):
    trail = Trail()
    told = OutcomeUnknownError if isinstance(error, UnreachableError) else type(error)
    with pytest.raises(told):
        await change(trail, error)
    assert await trail.outcomes() == [(BEGUN, {})]


async def test_nothing_is_done_if_the_first_entry_cannot_be_kept():
    trail = Trail(0)
    with pytest.raises(UnreachableError):
        await change(trail)
    assert await trail.outcomes() == []


async def test_a_change_that_was_made_is_answered_so_if_the_second_entry_cannot_be_kept():
    trail = Trail(1)
    assert await change(trail) == ["begun"]
    assert await trail.outcomes() == [(BEGUN, {})]


async def test_tokens_of_the_command_line_are_recorded_before_they_are_made():
    tokens, trail = MemoryTokens(), Trail()
    scopes = [parse_scope("read")]

    async def create(entry_id: str) -> None:
        made = ("a1", "s" * 43, entry_id)
        await create_token(tokens, trail, "shop", scopes, made, ttl=None, now=NOW, actor="me")

    await create("e1")
    with pytest.raises(ConflictError):
        await create("e2")
    await revoke_token(tokens, trail, "shop", entry_id="e3", now=NOW, actor="me")
    scoped = {"scopes": ["read"]}
    expected = [("conflict", scoped), ("done", scoped), ("done", {})]
    assert sorted(await trail.outcomes(), key=str) == sorted(expected, key=str)
    trail.fails, trail.count = (0,), 0
    with pytest.raises(UnreachableError):
        await revoke_token(tokens, trail, "shop", entry_id="e4", now=NOW, actor="me")


async def test_it_is_not_said_that_nothing_was_changed_when_a_later_statement_is_too_slow():
    trail, paused = Trail(), []

    async def pause(number: int) -> Outcome:
        if number == 3:
            raise TooSlowError("Postgres ended a statement")
        paused.append(number)
        return Outcome(str(number), str(number), "paused")

    def refused(number: int, why: str) -> Outcome:
        return Outcome(str(number), str(number), REFUSED, why)

    with pytest.raises(OutcomeUnknownError, match="is not known") as raised:
        async with audited(trail, FIRST, {}, lambda: NOW):
            await act_on_each(
                [1, 2, 3, 4], pause, lambda number, why: Outcome(str(number), why, REFUSED)
            )
    assert paused == [1, 2]
    assert not raised.value.retryable
    assert await trail.outcomes() == [(BEGUN, {})]
