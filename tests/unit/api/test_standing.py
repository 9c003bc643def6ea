"""Open requests of many callers: what one look at all of them costs, and whom it ends."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request

from activityctl.adapters.memory.access import MemoryTokens
from activityctl.api.identity import Identity
from activityctl.api.refusals import TokenEndedError
from activityctl.api.standing import Standing
from activityctl.domain.access.scope import parse_scope
from activityctl.domain.access.token import ApiToken, digest_of, token_text
from activityctl.errors import NotAllowedError, UnreachableError

NOW = datetime.now(UTC)
NAMES = {f"id-{number}": f"shop-{number}" for number in range(20)}


class Tokens(MemoryTokens):
    """Counts how often it is asked, and fails as often as it is told."""

    asked = failures = 0

    async def in_force(self, digests: Mapping[str, str]) -> list[ApiToken]:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise UnreachableError("Postgres does not answer")
        return await super().in_force(digests)


@dataclass
class Catalog:
    """Has the subscriptions, each with its label."""

    labels: Mapping[str, str]
    asked: int = 0

    async def subscriptions_of(self, ids: Sequence[str]) -> list[Any]:
        self.asked += 1
        return [
            SimpleNamespace(id=each, name=NAMES[each], labels={"team": self.labels[each]})
            for each in ids
            if each in self.labels
        ]


async def add(tokens: MemoryTokens, number: int, scope: str) -> str:
    text = token_text(f"{number:012x}", "s" * 43)
    token = ApiToken(
        f"{number:012x}", f"t{number}", digest_of(text), (parse_scope(scope),), NOW, "me"
    )
    await tokens.add(token)
    return text


def request_with(token: str) -> Request:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    return Request({"type": "http", "headers": headers})


async def test_one_look_asks_once_for_all_tokens_and_once_for_all_subscriptions():
    tokens, catalog = Tokens(), Catalog(dict.fromkeys(NAMES, "a"))
    standing: Any = Standing(Identity(None), tokens, catalog, seconds=3_600)  # type: ignore[arg-type]
    texts = [await add(tokens, n, "operate:label=team=a") for n in range(20)]
    with ExitStack() as stack:
        found = [
            stack.enter_context(standing.watching(request_with(text), {owner: NAMES[owner]}))
            for text, owner in zip(texts, NAMES, strict=True)
        ]
        await standing._look()
        assert (tokens.asked, catalog.asked) == (1, 1)
        assert not any(lost.done() for lost in found)
        await tokens.revoke("t3", NOW)
        catalog.labels = {**catalog.labels, "id-5": "b"}
        await standing._look()
        assert [n for n, lost in enumerate(found) if lost.done()] == [3, 5]
        assert isinstance(found[3].result(), TokenEndedError)
        assert isinstance(found[5].result(), NotAllowedError)


async def test_a_token_that_reads_all_needs_no_subscription_and_an_outage_ends_nothing():
    tokens, catalog = Tokens(), Catalog({})
    standing: Any = Standing(Identity(None), tokens, catalog, seconds=0.001)  # type: ignore[arg-type]
    tokens.failures = 3
    text = await add(tokens, 1, "read")
    with standing.watching(request_with(text), {}) as lost:
        while tokens.asked < 5:
            await asyncio.sleep(0.001)
        assert not lost.done()
        await tokens.revoke("t1", NOW)
        assert isinstance(await asyncio.wait_for(lost, 60), TokenEndedError)
    assert catalog.asked == 0


async def test_work_that_takes_long_is_ended_with_the_reason_and_else_has_its_result():
    tokens = Tokens()
    standing: Any = Standing(Identity(None), tokens, Catalog({}), seconds=0.001)  # type: ignore[arg-type]
    request = request_with(await add(tokens, 1, "read"))

    async def answer(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    assert await standing.while_allowed(request, {}, answer(0)) == "done"
    await tokens.revoke("t1", NOW)
    with pytest.raises(TokenEndedError):
        await asyncio.wait_for(standing.while_allowed(request, {}, answer(3_600)), 60)


async def test_who_waits_for_its_own_change_needs_a_valid_token_only():
    tokens, catalog = Tokens(), Catalog({})
    standing: Any = Standing(Identity(None), tokens, catalog, seconds=3_600)  # type: ignore[arg-type]
    text = await add(tokens, 1, "apply:set=shop")
    with (
        standing.watching(request_with(text), None) as own,
        standing.watching(request_with(text), {}) as all_logs,
    ):
        await standing._look()
        assert not own.done()
        assert isinstance(all_logs.result(), NotAllowedError)
        await tokens.revoke("t1", NOW)
        await standing._look()
        assert isinstance(own.result(), TokenEndedError)
    assert catalog.asked == 0
