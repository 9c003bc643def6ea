"""The daemons' own log: one line an event on stderr, a verb with its fields."""

import logging
import sys
from datetime import UTC, datetime
from typing import Final

_FIELDS: Final = frozenset({"subscription", "run", "task", "attempt", "kind", "schedule"})


class FieldFormatter(logging.Formatter):
    """`2026-11-21T12:00:00.000Z INFO worker ready key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, a traceback behind it where there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = "".join(
            f" {key}={value}" for key, value in record.__dict__.items() if key in _FIELDS
        )
        line = f"{moment[:-6]}Z {record.levelname} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logging() -> None:
    """Send our own messages from INFO on, others' from WARNING on, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("activityctl").setLevel(logging.INFO)
    # A failed attempt is in the run's log; the SDK would print a traceback for each.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
