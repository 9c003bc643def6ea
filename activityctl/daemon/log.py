"""The log of the daemons: one line on stderr for each message, with fields as key=value."""

import logging
import sys
from datetime import UTC, datetime
from typing import Final

from activityctl.daemon.repeats import RepeatFilter

_FIELDS: Final = frozenset({"subscription", "run", "task", "attempt", "kind", "schedule"})


class FieldFormatter(logging.Formatter):
    """Formats a line as `2026-11-21T12:00:00.000Z INFO worker ready key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = "".join(
            f" {key}={value}" for key, value in record.__dict__.items() if key in _FIELDS
        )
        line = f"{moment[:-6]}Z {record.levelname} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logging() -> None:
    """Log to stderr: our own messages from level INFO, those of libraries from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter(_FIELDS))
    handler.setFormatter(FieldFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("activityctl").setLevel(logging.INFO)
    # The run's log has every failed attempt; the SDK would print a traceback for each.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
