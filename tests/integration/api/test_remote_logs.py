"""The log by HTTP, as the command line follows it: through cut connections and a restart."""

import asyncio
import json
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl import wiring
from activityctl.adapters.postgres import logbook
from activityctl.adapters.postgres.watched_connection import SOCKET_OPTIONS
from activityctl.adapters.remote import client
from activityctl.api.routes.logs import first_place
from activityctl.cli.verbs.remote import RemoteVerbs
from activityctl.cli.verbs.verbs import LogRequest, Watcher
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter
from activityctl.errors import TooSlowError, UnreachableError
from activityctl.secret import SecretReference
from activityctl.settings import Secret, Settings
from support.api_server import running_api
from support.link import Link

DEFINITION = {
    "metadata": {"name": "followed"},
    "spec": {"tasks": [{"name": "note", "command": {"argv": ["true"]}}]},
}


async def prepare(ports: wiring.Ports) -> str:
    definition = ActivityDefinition.model_validate_json(json.dumps(DEFINITION))
    spec = {"metadata": {"name": "followed"}, "spec": {"activity": "followed"}}
    subscription = SubscriptionManifest.model_validate_json(json.dumps(spec))
    wanted = Wanted({"followed": definition}, {"followed": subscription})
    async with ports.catalog.changing():
        plan = plan_changes(wanted, await ports.catalog.present())
        await ports.catalog.write(plan, datetime.now(UTC))
    return (await ports.catalog.find_subscription("followed")).id


def remote_of(settings: Settings, port: int, token: str) -> Settings:
    return Settings(
        settings.home,
        server=f"http://127.0.0.1:{port}",
        token_ref=SecretReference("token_ref", "env", "T", found=Secret(token)),
        uses_local_daemon=False,
    )


async def test_a_search_that_takes_too_long_is_told_and_not_made_again(
    api_settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    async with wiring.open_ports(api_settings, pool_size=2) as ports:
        owner = await prepare(ports)
    options = f"{SOCKET_OPTIONS['options']} -c statement_timeout=5s"
    monkeypatch.setitem(SOCKET_OPTIONS, "options", options)
    monkeypatch.setattr(logbook, "page_query", lambda _: "SELECT pg_sleep(60)")
    with running_api(api_settings) as running:
        remote = remote_of(api_settings, running.port, running.token)
        async with wiring.open_remote_ports(remote) as far, asyncio.timeout(60):
            followed = RemoteVerbs(far.api).follow_logs(
                LogRequest(LogFilter((owner,), level="error"), {}), Watcher(print)
            )
            with pytest.raises(TooSlowError, match="Postgres has ended the search") as raised:
                await anext(followed)
            assert "tail 0" in str(raised.value.hint)
        while running.app.state.streams._open:
            await asyncio.sleep(0.01)


async def test_the_end_of_a_log_is_found_without_a_search():
    class Log:
        async def tail(self, wanted: LogFilter, count: int) -> Cursor:
            asked.append((wanted, count))
            return Cursor()

    asked: list[tuple[LogFilter, int]] = []
    log: Any = Log()
    wanted = LogFilter(("s",), "r", text="(a*)*b", level="error")
    assert await first_place(log, wanted, None) == Cursor()
    await first_place(log, wanted, 0)
    await first_place(log, wanted, 5)
    assert asked == [(LogFilter(("s",), "r"), 0), (wanted, 5)]


async def test_nothing_is_lost_or_repeated_while_connections_break(
    api_settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "_SILENCE", 3.0)  # seconds until a dead connection is noticed
    outages: list[UnreachableError | None] = []
    async with wiring.open_ports(api_settings, pool_size=2) as ports:
        owner = await prepare(ports)

        async def write(*texts: str) -> None:
            now = datetime.now(UTC)
            await ports.logbook.append([LogEntry(owner, None, text, "info", now) for text in texts])

        await write("old")
        with running_api(api_settings) as first, Link("127.0.0.1", first.port) as link:
            remote = remote_of(api_settings, link.port, first.token)
            async with wiring.open_remote_ports(remote) as far, asyncio.timeout(120):
                wanted = LogFilter((owner,))
                names: dict[str, str] = {}
                verbs = RemoteVerbs(far.api)
                request = LogRequest(wanted, names, tail=0)
                followed = verbs.follow_logs(request, Watcher(outages.append))
                async with aclosing(followed) as entries:  # type: ignore[type-var]
                    waiting = asyncio.ensure_future(anext(entries))
                    while not first.app.state.streams._open:
                        await asyncio.sleep(0.01)
                    await write("a", "b")
                    assert (await waiting).message == "a"
                    await asyncio.to_thread(link.kill_connections)
                    await write("c")
                    assert [(await anext(entries)).message for _ in "bc"] == ["b", "c"]
                    with running_api(api_settings) as second:
                        first.server.should_exit = True
                        await asyncio.to_thread(link.kill_connections)
                        link._target = ("127.0.0.1", second.port)
                        await write("d")
                        assert (await anext(entries)).message == "d"
                        assert names == {owner: "followed"}
                        read = [entry.message async for entry in verbs.read_logs(request)]
                        assert read == []
                        last = LogRequest(wanted, names, tail=2)
                        read = [entry.message async for entry in verbs.read_logs(last)]
                        assert read == ["c", "d"]
    assert outages[1::2] == [None] * len(outages[1::2])
