"""How a task says that it waits for a worker that has its strategy."""

from typing import Final

STRATEGY_WAIT: Final = "waits for a worker that has the strategy "
"""The beginning of the reason of such a task; the name follows, and why in brackets."""
