"""Looks up the addresses of host names in threads of its own, which are bounded.

A lookup in the system's resolver cannot be stopped, and a name that nobody answers keeps its
thread for many seconds. So lookups do not use the threads of the event loop's executor, in which
the router and others work.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from activityctl.frozen_dataclass import frozen_dataclass

LOOKUP_SECONDS: Final = 10.0
"""After this long without an answer, a lookup fails; its thread ends when the system answers."""
FAILED_FOR_SECONDS: Final = 5.0
"""For this long after a failed lookup, the same host fails at once."""
NEW_AT_ONCE: Final = 48
"""The most lookups at once of hosts that have not answered yet."""
KNOWN_AT_ONCE: Final = 16
"""The most lookups at once of hosts that have answered: others cannot take their threads."""
_REMEMBERED: Final = 1_000
"""How many hosts are remembered at most, as known and as failed."""

LookUp = Callable[[str, int], Sequence[str]]
"""`look_up(host, port)` blocks until it returns numeric addresses, the preferred one first."""


def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver. Raises OSError or UnicodeError."""
    return _addresses(host, port, flags=0)


def numeric_address(host: str, port: int) -> Sequence[str] | None:
    """Return the address of a numeric host, also of forms like `0x7f000001`; None for a name."""
    try:
        return _addresses(host, port, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return None


def _addresses(host: str, port: int, *, flags: int) -> Sequence[str]:
    kind, protocol = socket.SOCK_STREAM, socket.IPPROTO_TCP
    results = socket.getaddrinfo(host, port, type=kind, proto=protocol, flags=flags)
    return list(dict.fromkeys(str(address[0]) for *_, address in results))


@frozen_dataclass
class _Failure:
    error: OSError | UnicodeError
    until: float


class NameLookup:
    """Resolves names: one lookup at a time for each host, with a deadline.

    It belongs to one event loop. A numeric host needs no thread.
    """

    def __init__(
        self,
        ask: LookUp = look_up,
        *,
        seconds: float = LOOKUP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._running: dict[str, asyncio.Task[Sequence[str]]] = {}
        self._failed: dict[str, _Failure] = {}
        self._known: dict[str, None] = {}
        self._new_turns = asyncio.Semaphore(NEW_AT_ONCE)
        self._known_turns = asyncio.Semaphore(KNOWN_AT_ONCE)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return the numeric addresses. Raises OSError or UnicodeError."""
        if (numeric := numeric_address(host, port)) is not None:
            return numeric
        key = host.lower()
        failure = self._failed.get(key)
        if failure is not None and self._clock() < failure.until:
            raise type(failure.error)(*failure.error.args)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.create_task(self._look_up(key, port))
            running.add_done_callback(_mark_as_read)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(running)
        except TimeoutError as error:
            if running.done():  # the system's own timeout, not ours
                raise
            silent = OSError(f"no answer within {self._seconds:g} s")
            self._remember_failure(key, silent)
            raise silent from error

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        turns = self._known_turns if host in self._known else self._new_turns
        try:
            async with turns:
                addresses = await _in_thread(self._ask, host, port)
        except (OSError, UnicodeError) as error:
            self._known.pop(host, None)
            self._remember_failure(host, error)
            raise
        else:
            self._failed.pop(host, None)
            self._known[host] = None
            _drop_oldest(self._known)
            return addresses
        finally:
            del self._running[host]

    def _remember_failure(self, host: str, error: OSError | UnicodeError) -> None:
        self._failed.pop(host, None)
        self._failed[host] = _Failure(error, self._clock() + FAILED_FOR_SECONDS)
        _drop_oldest(self._failed)


def _mark_as_read(lookup: asyncio.Task[Sequence[str]]) -> None:
    """Read the error of a lookup whose callers have all gone, so that asyncio does not warn."""
    if not lookup.cancelled():
        lookup.exception()


async def _in_thread(ask: LookUp, host: str, port: int) -> Sequence[str]:
    """Call it in a thread that does not delay the end of the process."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[str]] = loop.create_future()

    def settle(addresses: Sequence[str] | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(addresses or ())

    def work() -> None:
        addresses, failure = None, None
        try:
            addresses = ask(host, port)
        except BaseException as error:  # noqa: BLE001  # handed to the caller
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, addresses, failure)

    threading.Thread(target=work, name=f"look up {host[:40]}", daemon=True).start()
    return await answer


def _drop_oldest(remembered: dict[str, Any]) -> None:
    while len(remembered) > _REMEMBERED:
        del remembered[next(iter(remembered))]
