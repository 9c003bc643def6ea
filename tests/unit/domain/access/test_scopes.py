from datetime import UTC, datetime, timedelta

import pytest

from activityctl.domain.access.caller import Caller
from activityctl.domain.access.scope import parse_scope
from activityctl.domain.access.token import ApiToken, digest_of, token_id_of, token_text, token_view
from activityctl.errors import UsageError


def caller(*scopes: str) -> Caller:
    return Caller("token/t", tuple(map(parse_scope, scopes)))


@pytest.mark.parametrize(
    "text",
    [
        "read",
        "admin",
        "emit",
        "emit:type=order.*,source=/shop",
        "apply:set=payments",
        "operate:subscription=eu-*",
        "operate:label=team=payments",
    ],
)
def test_a_scope_is_written_as_it_is_read(text: str):
    assert str(parse_scope(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "write",
        "Read",
        "read:",
        "read:type=x",
        "emit:type",
        "emit:type=",
        "emit:set=x",
        "emit:type=a,",
        "operate:label=team",
        "emit:type=" + "*a" * 9,
        "emit:type=" + "a" * 500,
    ],
)
def test_another_text_is_no_scope(text: str):
    with pytest.raises(UsageError):
        parse_scope(text)


def test_all_conditions_of_a_scope_hold_and_one_scope_is_enough():
    shop = caller("emit:type=order.*,source=/shop", "emit:type=ping")
    assert shop.may_emit("order.paid", "/shop")
    assert shop.may_emit("ping", "/anywhere")
    assert not shop.may_emit("order.paid", "/shop/2")
    assert not shop.may_emit("orderXpaid", "/shop")
    assert not shop.may_emit("an order.paid", "/shop")
    assert not shop.may_operate("eu", {})
    assert not shop.reads_all
    team = caller("operate:label=team=pay*", "operate:subscription=eu")
    assert team.may_operate("us", {"team": "payments", "tier": "1"})
    assert team.may_operate("eu", {})
    assert not team.may_operate("us", {"team": "shop"})
    assert not team.may_emit_something
    assert caller("apply:set=a").may_apply("a")
    assert not caller("apply:set=a").may_apply("b")
    assert not caller("read").may_apply("a")
    admin = caller("admin")
    assert admin.may_apply("b")
    assert admin.may_emit("t", "s")
    assert admin.may_operate("x", {})
    assert admin.reads_all


def test_the_text_of_a_token_has_its_id_and_is_not_in_what_is_kept():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    text = token_text("0123456789ab", "s" * 43)
    assert token_id_of(text) == "0123456789ab"
    for wrong in (text[:-1], text + "=", text.upper(), "actl_local_x", "", "é"):
        assert token_id_of(wrong) is None
    token = ApiToken("0123456789ab", "t", digest_of(text), (), now, "me", now + timedelta(hours=1))
    assert token.status(now) == "active"
    assert token.status(now + timedelta(hours=1)) == "expired"
    assert "s" * 10 not in str(token_view(token, now))
    assert digest_of(text) not in str(token_view(token, now))
