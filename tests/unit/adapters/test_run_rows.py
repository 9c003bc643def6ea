"""The rows of runs and tasks go to Postgres in few values, none of which is too large for it."""

import json
from typing import Any

import pytest

from activityctl.adapters.postgres.database import to_jsonb
from activityctl.adapters.postgres.runs import writes
from activityctl.adapters.postgres.runs.writes import json_parts


def texts(rows: list[dict[str, object]]) -> list[str]:
    found = []
    for part in json_parts(rows):
        dumps: Any = part.dumps
        found.append(dumps(part.obj))
    return found


def test_rows_are_one_value_unless_they_are_large(monkeypatch: pytest.MonkeyPatch):
    large = to_jsonb({"a": "x" * 50})
    rows: list[dict[str, object]] = [{"id": number, "input": large} for number in range(9)]
    assert len(texts(rows)) == 1
    monkeypatch.setattr(writes, "_PART", 150)
    parts = texts(rows)
    assert len(parts) == 5
    assert max(map(len, parts)) < 150 + 75
    together = [row for part in parts for row in json.loads(part)]
    assert together == [{"id": n, "input": {"a": "x" * 50}} for n in range(9)]


def test_no_rows_need_no_statement_and_every_text_can_be_stored():
    assert texts([]) == []
    assert texts([{"reason": "a\0b", "output": to_jsonb({"k": "\ud800"})}]) == [
        '[{"output":{"k":"\ufffd"},"reason":"a\ufffdb"}]'
    ]
