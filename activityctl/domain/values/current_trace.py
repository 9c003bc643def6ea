"""The id of the trace of the attempt that is at work, for the lines of a worker's log."""

from contextvars import ContextVar
from typing import Final

CURRENT_TRACE: Final[ContextVar[str | None]] = ContextVar("current_trace", default=None)
