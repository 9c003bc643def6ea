"""Collects rows as JSON, within the bounds of a task."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.size import format_size
from activityctl.domain.values.untrusted import storable
from activityctl.errors import TaskError
from activityctl.ports import SqlBounds, SqlResult


class RowCollector:
    """The rows of all statements of one transaction."""

    def __init__(self, bounds: SqlBounds) -> None:
        self._bounds = bounds
        self._rows = 0
        self._bytes = 0

    def named(self, names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
        """Return one row as JSON. Raises TaskError if there are too many, or too large ones."""
        row = {name: json_value(value) for name, value in zip(names, values, strict=True)}
        self._rows += 1
        self._bytes += len(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
        if self._rows > self._bounds.max_rows:
            raise too_many(f"more than {self._bounds.max_rows:,} rows", "maxRows")
        if self._bytes > self._bounds.max_bytes:
            raise too_many(f"more than {format_size(self._bounds.max_bytes)} of rows", "maxBytes")
        return row


def check_names(names: Sequence[str]) -> None:
    """Raise TaskError if two columns have the same name: a row is a map."""
    if doubled := next((name for name in names if list(names).count(name) > 1), None):
        message = f"two columns are named {doubled!r}; name one of them with AS"
        raise TaskError(message, code="bad_output", retryable=False)


def too_many(what: str, field: str) -> TaskError:
    """Return the error for a result that is too large."""
    message = f"the result has {what} ({field}); add a LIMIT, or raise {field}"
    return TaskError(message, code="result_too_large", retryable=False)


def json_value(value: Any) -> Any:  # noqa: C901, PLR0911  # one case for each type
    """Return a value of a database as JSON that can be stored."""
    match value:
        case None | bool():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case float():
            return value if isfinite(value) else str(value).replace("inf", "Infinity")
        case str():
            return storable(value)
        case Decimal():
            return _number(value)
        case datetime():
            return (
                (value.astimezone(UTC) if value.tzinfo else value)
                .isoformat()
                .replace("+00:00", "Z")
            )
        case date() | time():
            return value.isoformat()
        case timedelta():
            return (
                format_duration(value) if value >= timedelta(0) else f"-{format_duration(-value)}"
            )
        case bytes() | bytearray() | memoryview():
            return b64encode(bytes(value)).decode()
        case Mapping():
            return {storable(str(name)): json_value(child) for name, child in value.items()}
        case list() | tuple() | set() | frozenset():
            return [json_value(child) for child in value]
        case _:
            return storable(str(value))


def _number(value: Decimal) -> Any:
    """Return a JSON number if it has the same value, else the digits as a text."""
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and abs(value) < 2**63:
        return int(value)
    number = float(value)
    return number if isfinite(number) and Decimal(repr(number)) == value else str(value)


def result(rows: list[dict[str, Any]] | None, count: int | None) -> SqlResult:
    """Return the result of a statement; a negative count is none."""
    return SqlResult(rows, count if count is None or count >= 0 else None)
