"""The log of the daemons: one line on stderr for each message, as text or as a JSON object."""

import json
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TextIO

from activityctl.daemon.repeats import RepeatFilter
from activityctl.domain.runs.worker import LoopTrouble
from activityctl.domain.values.credentials import scrub
from activityctl.domain.values.current_trace import CURRENT_TRACE
from activityctl.domain.values.masking import Mask
from activityctl.domain.values.untrusted import escape_controls, escape_line

_FIELDS: Final = frozenset({"subscription", "run", "task", "attempt", "kind", "schedule"})
_PLAIN: Final = re.compile(r"[\w./:@+,-]+", re.ASCII)


_STANDARD: Final = frozenset(
    {*logging.LogRecord("", 0, "", 0, "", (), None).__dict__, "message", "asctime", "taskName"}
)
"""What each record has; anything else was passed as a field."""


class FieldFormatter(logging.Formatter):
    """Formats a line as `2026-11-21T12:00:00.000Z INFO worker ready key=value`.

    Texts of strangers cannot forge a line: line ends and control characters are escaped, and the
    lines of a traceback are indented. The secrets are masked.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secrets)
        self._resolved = Mask()

    def hide(self, value: str) -> None:
        """Mask this value too from now on, in each form in which it may appear."""
        self._resolved.add(value)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = "".join(
            f" {key}={_field(value)}" for key, value in record.__dict__.items() if key in _FIELDS
        )
        if (trace := CURRENT_TRACE.get()) is not None:
            fields += f" trace={trace}"
        message = escape_line(self.hidden(record.getMessage()))
        line = f"{moment[:-6]}Z {record.levelname} {message}{self.hidden(fields)}"
        if not record.exc_info:
            return line
        trace = escape_controls(self.hidden(self.formatException(record.exc_info)))
        return f"{line}\n    " + trace.replace("\n", "\n    ")

    def hidden(self, text: str) -> str:
        """Return the text with the secrets masked."""
        return scrub(self._resolved.text(text), self._secrets)


class JsonFormatter(FieldFormatter):
    """Formats a line as a JSON object with `time`, `level`, `logger`, `message` and the fields.

    An object is in ASCII and on one line, whatever strangers wrote. The secrets are masked.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; a traceback is its `exception`."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": f"{moment[:-6]}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.hidden(record.getMessage()),
        }
        for key, value in record.__dict__.items():
            if key not in _STANDARD and key not in line:
                is_plain = value is None or isinstance(value, (int, float))
                line[key] = value if is_plain else self.hidden(str(value))
        if (trace := CURRENT_TRACE.get()) is not None:
            line["trace"] = trace
        if record.exc_info:
            line["exception"] = self.hidden(self.formatException(record.exc_info))
        return json.dumps(line)


def _field(value: object) -> str:
    """Return a field's value; one that could be taken for other fields or lines is quoted."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


class _LogHandler(logging.StreamHandler[TextIO]):
    """Writes to stderr; remembers since when it cannot, for example because the disk is full."""

    def __init__(self) -> None:
        # Not `sys.stderr`: the command line makes it a stream that gives up at the first failure.
        super().__init__(sys.__stderr__ or sys.stderr)
        self.trouble: LoopTrouble | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; after a failure the next lines are tried as well."""
        before = self.trouble
        super().emit(record)
        if self.trouble is before:
            self.trouble = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Remember why a line could not be written, instead of writing a traceback as well."""
        error = sys.exc_info()[1]
        since = self.trouble.since if self.trouble else datetime.fromtimestamp(record.created, UTC)
        failures = self.trouble.failures + 1 if self.trouble else 1
        text = f"lines of the log are lost: {type(error).__name__}: {error}"
        self.trouble = LoopTrouble("log", since, failures, text)


def log_trouble() -> LoopTrouble | None:
    """Return why the log of this process cannot be written; None if it can."""
    handlers = [one for one in logging.getLogger().handlers if isinstance(one, _LogHandler)]
    return handlers[0].trouble if handlers else None


def hide_secret(value: str) -> None:
    """Mask a secret that a task has asked for in the log of this process."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, FieldFormatter):
            handler.formatter.hide(value)


def without_secrets(text: str) -> str:
    """Return a text with the secrets masked that this process's log masks."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, FieldFormatter):
            text = handler.formatter.hidden(text)
    return text


def configure_logging(secrets: Sequence[str] = (), log_format: str = "text") -> None:
    """Log to stderr: our own messages from level INFO, those of libraries from WARNING.

    The secrets, longest first, are masked. With the format `json`, each line is an object.
    """
    handler = _LogHandler()
    handler.addFilter(RepeatFilter(_FIELDS))
    formatter = JsonFormatter if log_format == "json" else FieldFormatter
    handler.setFormatter(formatter(secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("activityctl").setLevel(logging.INFO)
    # The run's log has every failed attempt; the SDK would print a traceback for each.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
