"""Port for databases of users: runs statements on a connection that a URL names."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from activityctl.frozen_dataclass import frozen_dataclass

Row = Mapping[str, Any]
"""A row as JSON, by the names of its columns."""


@frozen_dataclass
class SqlCommand:
    """A statement with `:name` parameters, and their values as JSON."""

    statement: str
    parameters: Mapping[str, Any]


@frozen_dataclass
class SqlBounds:
    """What the statements of one transaction may take."""

    seconds: float
    max_rows: int
    max_bytes: int
    """Of all rows, as JSON."""
    read_only: bool = False


@frozen_dataclass
class SqlResult:
    """What a statement has returned: rows, or None if it has none, and how many."""

    rows: Sequence[Row] | None
    count: int | None
    """The number of rows that were returned or changed, if the database says it."""


class SqlClient(Protocol):
    """Runs statements in databases of users."""

    async def run(
        self, url: str, commands: Sequence[SqlCommand], bounds: SqlBounds
    ) -> list[SqlResult]:
        """Run all commands in one transaction; nothing is changed if one of them fails.

        Raises TaskError. When it is cancelled, or its time is over, the statement ends on the
        server too.
        """
        ...
