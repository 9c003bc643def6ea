"""Tokens of the HTTP API and the record of changes, in memory and in Postgres."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activityctl.domain.access.audit import BEGUN, AuditEntry
from activityctl.domain.access.scope import parse_scope
from activityctl.domain.access.token import ApiToken
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError

NOW = datetime.now(UTC).replace(microsecond=0)
TOKEN = ApiToken("a1", "shop", "digest", (parse_scope("emit:type=a,source=b"),), NOW, "me")


async def test_a_token_is_used_until_it_is_revoked_or_expires(ports):
    tokens = ports.tokens
    await tokens.add(TOKEN)
    await tokens.add(replace(TOKEN, id="a2", name="old", expires_at=NOW - timedelta(minutes=1)))
    with pytest.raises(ConflictError):
        await tokens.add(replace(TOKEN, id="a3"))
    used = await tokens.use("a1", "digest", "10.0.0.1")
    assert (used.name, used.scopes) == ("shop", TOKEN.scopes)
    for token_id, digest in (("a1", "other"), ("a2", "digest"), ("a9", "digest")):
        assert await tokens.use(token_id, digest, None) is None
    known = await tokens.in_force({"a1": "digest", "a2": "digest", "a9": "digest"})
    assert [(token.name, token.scopes) for token in known] == [("shop", TOKEN.scopes)]
    assert await tokens.in_force({"a1": "other", "a2": "digest"}) == []
    old, shop = await tokens.all()
    assert (old.name, old.last_used_at) == ("old", None)
    assert shop.last_used_from == "10.0.0.1"
    assert shop.last_used_at is not None
    revoked = await tokens.revoke("shop", NOW)
    assert await tokens.revoke("shop", NOW + timedelta(hours=1)) == revoked
    assert revoked.revoked_at == NOW
    assert await tokens.use("a1", "digest", None) is None
    assert await tokens.in_force({"a1": "digest"}) == []
    with pytest.raises(NotFoundError):
        await tokens.revoke("nobody", NOW)


async def test_changes_are_listed_newest_first_and_selected(ports):
    audit = ports.audit
    entries = [
        AuditEntry(
            f"e{number}",
            NOW + timedelta(minutes=number),
            f"token/{number % 2}",
            "emit",
            "",
            "done",
            "10.0.0.1",
            f"r{number}",
            {"accepted": number},
        )
        for number in range(3)
    ]
    await audit.add(entries)
    assert await audit.entries(Selection()) == entries[::-1]
    assert await audit.entries(Selection(limit=1)) == entries[2:]
    assert await audit.entries(Selection(name="token/1")) == [entries[1]]
    assert await audit.entries(Selection(name="r2")) == [entries[2]]
    assert await audit.entries(Selection(name="e0")) == [entries[0]]
    assert await audit.entries(Selection(name="%")) == []
    assert await audit.entries(Selection(since=NOW + timedelta(minutes=2))) == [entries[2]]


async def test_a_change_that_was_begun_is_hidden_once_another_entry_closes_it(ports):
    audit = ports.audit
    begun = [
        AuditEntry(
            f"b{number}",
            NOW + timedelta(minutes=number),
            "token/shop",
            "pause",
            "subscription/eu",
            BEGUN,
            "10.0.0.1",
            "same",  # a client may send each request under one id
        )
        for number in range(6)
    ]
    closed = [each.closed(each.at, "done", {"outcome": "paused"}) for each in begun[1::2]]
    for each in begun:
        await audit.begin(each)
    await audit.add(closed)
    shown = [begun[4], begun[2], begun[0]]
    expected = [closed[2], shown[0], closed[1], shown[1], closed[0], shown[2]]
    assert await audit.entries(Selection()) == expected
    assert await audit.entries(Selection(limit=4)) == expected[:4]
    for number, last in enumerate(expected):
        rest = Selection(after=(last.at, last.id), limit=3)
        assert await audit.entries(rest) == expected[number + 1 : number + 4]
    for name in ("token/shop", "same"):
        assert await audit.entries(Selection(name=name)) == expected
    assert await audit.entries(Selection(name="b")) == shown
    assert await audit.entries(Selection(name="b1", limit=1)) == [begun[1]]
    assert await audit.entries(Selection(since=begun[3].at)) == expected[:3]


async def test_an_entry_about_something_else_hides_nothing(ports):
    audit = ports.audit
    begun = AuditEntry("b", NOW, "token/shop", "pause", "subscription/eu", BEGUN, None, "r1")
    await audit.begin(begun)
    closed = begun.closed(NOW, "done", {})
    others = [
        replace(closed, id="o1", actor="token/other"),
        replace(closed, id="o2", action="resume"),
        replace(closed, id="o3", target="subscription/us"),
        replace(closed, id="o4", request_id=None),
        replace(closed, id="o5", closes=None),
    ]
    await audit.add(others)
    assert begun in await audit.entries(Selection())
    await audit.add([closed])
    assert begun not in await audit.entries(Selection())
