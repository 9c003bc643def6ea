import asyncio
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from activityctl.domain.values.destination import DestinationPolicy
from activityctl.executors.destination import GuardedTransport
from activityctl.executors.name_lookup import (
    FAILED_FOR_SECONDS,
    NEW_AT_ONCE,
    NameLookup,
)

SOON = 1.0


class _Names:
    """A resolver for which names under `silent.example` hang until the end of the test."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.over = threading.Event()
        self.answers: dict[str, Sequence[str] | OSError] = {}

    def ask(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self.answers.get(host, ["192.0.2.1"])
        if isinstance(answer, OSError):
            raise answer
        if host.endswith("silent.example"):
            self.over.wait(20)
        return answer


@pytest.fixture
def names():
    made = _Names()
    yield made
    made.over.set()


async def _hang(lookup: NameLookup, hosts: Sequence[str]) -> list[asyncio.Task[Sequence[str]]]:
    hanging = [asyncio.create_task(lookup.resolve(host, 443)) for host in hosts]
    await asyncio.sleep(0.05)
    return hanging


async def test_forty_silent_names_do_not_delay_the_threads_of_others(
    names: _Names, monkeypatch: pytest.MonkeyPatch
):
    """The behaviour of the whole transport, with the system's resolver replaced."""
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("flags") == socket.AI_NUMERICHOST:
            return real(host, *arguments, **options)
        names.ask(host if isinstance(host, str) else host.decode(), 0)
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=6))
    transport = GuardedTransport(DestinationPolicy())
    calls = [
        asyncio.create_task(
            transport.handle_async_request(httpx.Request("GET", f"https://{n}.silent.example/"))
        )
        for n in range(40)
    ]
    async with asyncio.timeout(60):
        while len(names.asked) < 6:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(SOON):
        assert await asyncio.to_thread(lambda: "routed") == "routed"
    names.over.set()
    await asyncio.gather(*calls, return_exceptions=True)
    await transport.aclose()


async def test_a_known_name_is_answered_while_all_other_threads_hang(names: _Names):
    lookup = NameLookup(names.ask)
    await lookup.resolve("shop.example", 443)
    await _hang(lookup, [f"{n}.silent.example" for n in range(2 * NEW_AT_ONCE)])
    assert len(names.asked) == 1 + NEW_AT_ONCE
    async with asyncio.timeout(SOON):
        assert await lookup.resolve("shop.example", 443) == ["192.0.2.1"]


async def test_one_host_is_looked_up_once_at_a_time(names: _Names):
    lookup = NameLookup(names.ask)
    waiting = await _hang(lookup, ["silent.example", "SILENT.example"] * 20)
    assert names.asked == ["silent.example"]
    names.over.set()
    assert {tuple(answer) for answer in await asyncio.gather(*waiting)} == {("192.0.2.1",)}


async def test_a_lookup_without_an_answer_ends_at_its_deadline_and_fails_at_once_then(
    names: _Names,
):
    lookup = NameLookup(names.ask, seconds=0.1)
    with pytest.raises(OSError, match=r"no answer within 0\.1 s"):
        await lookup.resolve("silent.example", 443)
    lookup._seconds = 3600.0
    async with asyncio.timeout(60):
        with pytest.raises(OSError, match="no answer"):
            await lookup.resolve("silent.example", 443)
    assert names.asked == ["silent.example"]


async def test_a_failure_is_remembered_for_a_short_time(names: _Names):
    now = 0.0
    lookup = NameLookup(names.ask, clock=lambda: now)
    names.answers["gone.example"] = socket.gaierror(-2, "Name or service not known")
    for _ in range(3):
        with pytest.raises(socket.gaierror, match="Name or service not known"):
            await lookup.resolve("gone.example", 443)
    assert names.asked == ["gone.example"]
    now = FAILED_FOR_SECONDS
    names.answers["gone.example"] = ["192.0.2.7"]
    assert await lookup.resolve("gone.example", 443) == ["192.0.2.7"]


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0x7f000001", "127.0.0.1"), ("::1", "::1")],
)
async def test_a_numeric_host_needs_no_thread(names: _Names, host: str, address: str):
    assert await NameLookup(names.ask).resolve(host, 443) == [address]
    assert names.asked == []
