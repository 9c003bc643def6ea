"""ChildSpec: what the supervisor starts beside the two servers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field

from activityctl.frozen_dataclass import frozen_dataclass

Addresses = Mapping[str, str]


async def _always_ready(_: Addresses, __: int) -> bool:
    """Return True: a process counts as ready as soon as it runs."""
    return True


@frozen_dataclass
class ChildSpec:
    """A component beside the two servers, such as the worker or the API."""

    name: str
    command: tuple[str, ...]
    """`{port}` in an argument is replaced by the port that the child listens on."""
    listens: bool = False
    """Whether it gets a loopback port; its URL is then in the addresses under its name."""
    ready: Callable[[Addresses, int], Awaitable[bool]] = _always_ready
    """Called until it returns true, with the pid; for a listening child, after its port answers."""
    ready_within: float = 90.0
    drain: float = 20.0
    """Seconds between SIGTERM and SIGKILL."""
    version: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    is_needed: Callable[[], bool] = lambda: True
    """Asked again and again until it is true; then the child starts, and stays."""
