"""The breaker of a task has the host that the task calls, if it has no name."""

import pytest

from activityctl.domain.tasks.breaker import BreakerPolicy
from activityctl.domain.tasks.guard import guard_of
from activityctl.domain.values.model import JsonValue


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        ("http", {"url": "https://a.example/b"}, "a.example"),
        ("ai", {"provider": "openai"}, "api.openai.com"),
        ("ai", {"provider": "anthropic", "baseUrl": None}, "api.anthropic.com"),
        (
            "ai",
            {"provider": "openai", "baseUrl": "http://models.example:11434/v1"},
            "models.example:11434",
        ),
        ("ai", {"provider": "openai", "baseUrl": "https://a.example/v1"}, "a.example"),
        ("email", {"url": "https://a.example/b"}, None),
    ],
)
def test_a_breaker_is_named_by_the_host(kind: str, body: JsonValue, name: str | None):
    guard = guard_of(BreakerPolicy(), None, (), kind, body)
    assert (guard and guard.breaker_name) == name
