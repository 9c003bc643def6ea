"""The daemons' log: one line for each message, which no text of a stranger can forge."""

import errno
import json
import logging
import sys
from datetime import datetime
from io import StringIO

from activityctl.daemon.log import FieldFormatter, JsonFormatter, configure_logging, log_trouble
from activityctl.domain.values.current_trace import CURRENT_TRACE

FORGED = "x\n2026-01-01T00:00:00.000Z INFO forged\x1b[2J"


def record(message: str, exc_info=None, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("activityctl", logging.INFO, "f", 1, message, (), exc_info)
    made.__dict__.update(fields)
    return made


def test_a_message_and_its_fields_stay_on_one_line():
    line = FieldFormatter().format(record(FORGED, run=FORGED, task="a b=c", kind="http"))
    assert "\n" not in line
    assert "\x1b" not in line
    assert r"x\n2026-01-01T00:00:00.000Z INFO forged\x1b[2J" in line
    assert line.endswith(' task="a b=c" kind=http')


def test_as_json_a_line_is_an_object_that_no_text_can_forge():
    formatter = JsonFormatter(("canary-1234",))
    formatter.hide("other-canary")
    fields = {"run": "r-1", "task": FORGED, "subscription": "s", "attempt": 2, "chain": None}
    try:
        int("canary-1234")
    except ValueError:
        made = record(f"other-canary {FORGED}", sys.exc_info(), **fields)
    line = formatter.format(made)
    assert "\n" not in line
    assert "\x1b" not in line
    assert "canary" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"]) == ("info", "activityctl")
    assert found["message"] == f"*** {FORGED}"
    assert {key: found[key] for key in fields} == fields
    assert found["exception"].endswith("'***'")
    assert datetime.fromisoformat(found["time"]).tzinfo is not None
    assert "exception" not in json.loads(formatter.format(record("x")))


def test_a_line_of_an_attempt_names_its_trace():
    token = CURRENT_TRACE.set("4bf9")
    assert FieldFormatter().format(record("x", task="a")).endswith(" x task=a trace=4bf9")
    CURRENT_TRACE.reset(token)
    assert "trace" not in FieldFormatter().format(record("x"))


def test_the_lines_of_a_traceback_are_indented_and_escaped():
    try:
        int(FORGED)
    except ValueError:
        first, *rest = FieldFormatter().format(record("failed", sys.exc_info())).split("\n")
    assert first.endswith("INFO failed")
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in "".join(rest)


def test_a_secret_that_a_task_has_asked_for_is_masked_in_messages_and_tracebacks():
    formatter = FieldFormatter()
    formatter.hide("canary-of-a-task")
    try:
        int("canary-of-a-task")
    except ValueError:
        text = formatter.format(record("got Y2FuYXJ5LW9mLWEtdGFzaw==", sys.exc_info(), run="x"))
    assert "ValueError" in text
    assert "canary" not in text
    assert "Y2FuYXJ5" not in text


def test_secrets_are_masked():
    line = FieldFormatter(("canary-1234",)).format(record("got canary-1234", run="canary-1234"))
    assert "canary" not in line


class FullDisk(StringIO):
    """A stream that takes nothing while it is full."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_is_told_until_it_can(monkeypatch):
    root, stream = logging.getLogger(), FullDisk()
    before = root.handlers[:], root.level
    monkeypatch.setattr(sys, "__stderr__", stream)
    try:
        configure_logging()
        logging.getLogger("activityctl").warning("one")
        logging.getLogger("activityctl").warning("two")
        trouble = log_trouble()
        stream.is_full = False
        logging.getLogger("activityctl").warning("three")
        after = log_trouble()
    finally:
        root.handlers, root.level = before
    assert trouble is not None
    assert (trouble.loop, trouble.failures) == ("log", 2)
    assert "No space left" in trouble.error
    assert after is None
    assert stream.getvalue().endswith("WARNING three\n")
