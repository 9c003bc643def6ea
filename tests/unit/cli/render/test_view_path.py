"""Fields for `--sort-by` and `custom-columns`: how they are written, read and ordered."""

from typing import Any

import pytest

from activityctl.cli.render.view_path import as_columns, parse_columns, parse_path, sorted_by
from activityctl.errors import UsageError

RUN = {
    "id": "3f2a",
    "status": "failed",
    "labels": {"team": "db", "a.b/c": "x"},
    "items": [{"name": "one"}],
    "lastRun": None,
    "startedAt": "2026-01-01T00:00:00.000Z",
    "endedAt": "2026-01-01T00:00:01.500Z",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("status", "failed"),
        (".status", "failed"),
        ("{.status}", "failed"),
        ("labels.team", "db"),
        ("labels['a.b/c']", "x"),
        ('.labels["a.b/c"]', "x"),
        (".items[0].name", "one"),
        (".items[1].name", None),
        ("lastRun.status", None),
        ("status.deeper", None),
        ("took", 1.5),
    ],
)
def test_a_field_is_read(text: str, value: Any):
    assert parse_path(text).read(RUN) == value


@pytest.mark.parametrize("text", ["", ".", "a..b", "a[", "a[x]", "a b[", "{", "['a"])
def test_other_texts_are_no_fields(text: str):
    with pytest.raises(UsageError, match="not a field"):
        parse_path(text)


def test_columns_have_a_heading_and_a_field():
    columns = as_columns(parse_columns("ID:.id,TEAM:labels['team'],ALL:.labels"))
    assert [heading for heading, _ in columns] == ["ID", "TEAM", "ALL"]
    assert [read(RUN) for _, read in columns] == ["3f2a", "db", '{"a.b/c": "x", "team": "db"}']


@pytest.mark.parametrize("text", ["", "ID", "ID:", ":id", "ID:.id,,X:.x", "ID:.id,X"])
def test_other_texts_are_no_columns(text: str):
    with pytest.raises(UsageError):
        parse_columns(text)


def test_numbers_come_before_texts_and_what_is_missing_comes_last():
    views = [{"x": value} for value in ("b", None, 10, "A", 2, "a")]
    assert [view["x"] for view in sorted_by(views, "x")] == [2, 10, "A", "a", "b", None]
    assert [view["x"] for view in sorted_by(views, "-.x")] == ["b", "a", "A", 10, 2, None]


def test_a_field_that_no_object_has_is_a_mistake():
    with pytest.raises(UsageError, match="no field statsu") as caught:
        sorted_by([RUN], "statsu")
    assert "status" in (caught.value.hint or "")
    assert "took" in (caught.value.hint or "")
    assert sorted_by([], "statsu") == []
