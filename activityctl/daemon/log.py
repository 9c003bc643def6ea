"""The log of the daemons: one line on stderr for each message, with fields as key=value."""

import json
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from activityctl.daemon.repeats import RepeatFilter
from activityctl.domain.values.credentials import scrub
from activityctl.domain.values.untrusted import escape_controls, escape_line

_FIELDS: Final = frozenset({"subscription", "run", "task", "attempt", "kind", "schedule"})
_PLAIN: Final = re.compile(r"[\w./:@+,-]+", re.ASCII)


class FieldFormatter(logging.Formatter):
    """Formats a line as `2026-11-21T12:00:00.000Z INFO worker ready key=value`.

    Texts of strangers cannot forge a line: line ends and control characters are escaped, and the
    lines of a traceback are indented. The secrets are masked.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = "".join(
            f" {key}={_field(value)}" for key, value in record.__dict__.items() if key in _FIELDS
        )
        message = escape_line(self._hidden(record.getMessage()))
        line = f"{moment[:-6]}Z {record.levelname} {message}{self._hidden(fields)}"
        if not record.exc_info:
            return line
        trace = escape_controls(self._hidden(self.formatException(record.exc_info)))
        return f"{line}\n    " + trace.replace("\n", "\n    ")

    def _hidden(self, text: str) -> str:
        return scrub(text, self._secrets)


def _field(value: object) -> str:
    """Return a field's value; one that could be taken for other fields or lines is quoted."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def configure_logging(secrets: Sequence[str] = ()) -> None:
    """Log to stderr: our own messages from level INFO, those of libraries from WARNING.

    The secrets, longest first, are masked.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter(_FIELDS))
    handler.setFormatter(FieldFormatter(secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("activityctl").setLevel(logging.INFO)
    # The run's log has every failed attempt; the SDK would print a traceback for each.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
