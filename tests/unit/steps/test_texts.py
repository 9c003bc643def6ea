"""What a rendered value becomes in each field that takes text, before an attempt."""

from typing import Any

import pytest

from activityctl.errors import TaskError
from activityctl.executors.command import CommandExecutor
from activityctl.executors.emit import EmitExecutor
from activityctl.executors.http import HttpExecutor
from activityctl.steps.limited import parse_body

FIELDS: list[tuple[type[Any], dict[str, Any], tuple[str | int, ...]]] = [
    (CommandExecutor, {"argv": ["x", "…"]}, ("argv", 1)),
    (CommandExecutor, {"argv": ["x"], "env": {"A": "…"}}, ("env", "A")),
    (CommandExecutor, {"shell": "…"}, ("shell",)),
    (CommandExecutor, {"argv": ["x"], "stdin": "…"}, ("stdin",)),
    (CommandExecutor, {"argv": ["x"], "cwd": "…"}, ("cwd",)),
    (HttpExecutor, {"url": "/", "headers": {"A": "…"}}, ("headers", "A")),
    (HttpExecutor, {"url": "/", "query": {"a": ["…"]}}, ("query", "a", 0)),
    (HttpExecutor, {"url": "/", "body": "…"}, ("body",)),
    (EmitExecutor, {"type": "…"}, ("type",)),
    (EmitExecutor, {"type": "t", "source": "…"}, ("source",)),
    (EmitExecutor, {"type": "t", "subject": "…"}, ("subject",)),
    (EmitExecutor, {"type": "t", "id": "…"}, ("id",)),
]
OPTIONAL = {"stdin", "cwd", "body", "source", "subject", "id"}
ALL = pytest.mark.parametrize(
    ("executor", "body", "path"), FIELDS, ids=[f"{kind.kind}-{path[0]}" for kind, _, path in FIELDS]
)


def filled(body: Any, value: Any) -> Any:
    if isinstance(body, dict):
        return {key: filled(child, value) for key, child in body.items()}
    if isinstance(body, list):
        return [filled(child, value) for child in body]
    return value if body == "…" else body


def at(body: Any, path: tuple[str | int, ...]) -> Any:
    first, *rest = path
    value = getattr(body, str(first))
    for part in rest:
        value = value[part]
    return value


@ALL
def test_numbers_and_booleans_become_text_as_json_writes_them(
    executor: type[Any], body: Any, path: tuple[str | int, ...]
):
    for value, text in ((7, "7"), (0.5, "0.5"), (1.0, "1.0"), (True, "true"), ("a", "a")):
        assert at(parse_body(executor, filled(body, value)), path) == text


@ALL
@pytest.mark.parametrize(("value", "reason"), [({"a": 1}, "not a map"), ([1], "not a list")])
def test_maps_and_lists_are_no_text(
    executor: type[Any], body: Any, path: tuple[str | int, ...], value: Any, reason: str
):
    with pytest.raises(TaskError, match=reason) as caught:
        parse_body(executor, filled(body, value))
    assert str(caught.value).startswith(f"{executor.kind}.{path[0]}")


@ALL
def test_null_leaves_an_optional_field_out_and_is_no_text(
    executor: type[Any], body: Any, path: tuple[str | int, ...]
):
    if path[0] in OPTIONAL:
        assert at(parse_body(executor, filled(body, None)), path) is None
    else:
        with pytest.raises(TaskError, match=r"null is not a text|exactly one of argv and shell"):
            parse_body(executor, filled(body, None))
