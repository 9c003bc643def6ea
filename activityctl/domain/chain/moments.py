"""Times as the Builder Kit writes them."""

from datetime import UTC, datetime
from typing import Final

NEVER: Final = "0001-01-01T00:00:00Z"
"""The time of something that has not happened."""


def chain_timestamp(moment: datetime) -> str:
    """Return the time as RFC 3339 in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
