"""What the process that runs code answers, and how its errors are told."""

from typing import Final

ANSWER: Final = "\x1eactivityctl "
"""The beginning of the line with the answer."""
MAX_VALUE_BYTES: Final = 1024 * 1024
"""How large the returned value may be, as JSON."""


class CodeError(Exception):
    """The code has failed; `code` says how, `traceback` where."""

    def __init__(self, code: str, message: str = "", traceback: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.traceback = traceback


def check_length(text: str) -> None:
    """Raise CodeError if the JSON of a value is too long."""
    if len(text) > MAX_VALUE_BYTES or len(text.encode("utf-8", "replace")) > MAX_VALUE_BYTES:
        raise CodeError("bad_output", f"the value has more than {MAX_VALUE_BYTES:,} bytes")
