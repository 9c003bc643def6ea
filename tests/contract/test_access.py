"""Tokens of the HTTP API and the record of changes, in memory and in Postgres."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activityctl.domain.access.audit import AuditEntry
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
    old, shop = await tokens.all()
    assert (old.name, old.last_used_at) == ("old", None)
    assert shop.last_used_from == "10.0.0.1"
    assert shop.last_used_at is not None
    revoked = await tokens.revoke("shop", NOW)
    assert await tokens.revoke("shop", NOW + timedelta(hours=1)) == revoked
    assert revoked.revoked_at == NOW
    assert await tokens.use("a1", "digest", None) is None
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
