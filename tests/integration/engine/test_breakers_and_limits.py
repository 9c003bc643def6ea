"""The run engine: breakers and limits hold up tasks without using up their attempts."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.selection import Selection
from support.engine import Engine, shell

ITEMS = list(range(12))


class Neighbour:
    """A server that answers 503 until it is well; it counts its requests."""

    def __init__(self) -> None:
        self.is_well = False
        self.refused = 0
        self.answered = 0
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator[str]:
        neighbour = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                is_well = neighbour.is_well
                neighbour.answered += is_well
                neighbour.refused += not is_well
                self.send_response(200 if is_well else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            server.server_close()


def call(url: str, **fields: Any) -> dict[str, Any]:
    return {"name": "one", "http": {"method": "POST", "url": url}, **fields}


@pytest.mark.usefixtures("worker")
async def test_a_breaker_holds_up_the_tasks_of_a_failing_host_and_lets_them_pass_again(
    engine: Engine,
) -> None:
    neighbour = Neighbour()
    policy = {"failures": 3, "openFor": "1s"}
    retry = {"maxAttempts": 6, "initialInterval": "200ms"}
    with neighbour.serving() as url:
        task = call(url, breaker=policy, retry=retry, forEach=ITEMS, maxParallel=12)
        await engine.apply({"tasks": [task]})
        run_id = await engine.fire()
        name = url.removeprefix("http://").rstrip("/")
        async with asyncio.timeout(60):
            while not (found := await engine.ports.run_lists.breakers(Selection())):
                await asyncio.sleep(0.05)
        assert [each.name for each in found] == [name]
        neighbour.is_well = True
        run = await engine.ended(run_id, seconds=60)
    assert run.status is RunStatus.SUCCEEDED
    assert neighbour.answered == len(ITEMS)
    assert neighbour.refused <= 12, "those that had begun before it opened"
    messages = [entry.message for entry in await engine.log(run_id)]
    opened = f"breaker {name} opened: 3 failures in a row"
    assert opened in messages or any(name in text and "in a row" in text for text in messages)
    assert f"breaker {name} closed: 1 probe succeeded" in messages
    assert any(text.startswith(f"task one waits for breaker {name}") for text in messages)
    (breaker,) = await engine.ports.run_lists.breakers(Selection())
    assert breaker.status == "closed"


@pytest.mark.usefixtures("worker")
async def test_a_breaker_holds_up_the_lookup_of_a_context_and_lets_it_pass_again(
    engine: Engine,
) -> None:
    neighbour = Neighbour()
    with neighbour.serving() as url:
        customer = {
            "name": "customer",
            "http": {"method": "POST", "url": url, "result": "response"},
            "breaker": {"failures": 3, "openFor": "2s"},
            "retry": {"maxAttempts": 9, "initialInterval": "100ms"},
        }
        await engine.apply({"context": [customer], "tasks": [shell("true")]})
        run_id = await engine.fire()
        async with asyncio.timeout(60):
            while not await engine.ports.run_lists.breakers(Selection()):
                await asyncio.sleep(0.05)
        neighbour.is_well = True
        run = await engine.ended(run_id, seconds=60)
    assert run.status is RunStatus.SUCCEEDED
    assert run.context["customer"]["status"] == 200
    assert (neighbour.refused, neighbour.answered) == (3, 1)
    name = url.removeprefix("http://").rstrip("/")
    messages = [entry.message for entry in await engine.log(run_id)]
    waits = f"context customer waits for breaker {name}, which is open: 3 failures in a row"
    assert waits in messages
    assert f"breaker {name} closed: 1 probe succeeded" in messages
    assert not any("was lost" in text for text in messages)


@pytest.mark.usefixtures("worker")
async def test_a_task_may_fail_fast_behind_an_open_breaker(engine: Engine) -> None:
    await engine.ports.guards.turn_breaker("crm", is_open=True, reason="moving")
    task = shell("true", breaker={"name": "crm", "whileOpen": "fail"}, retry={"maxAttempts": 5})
    waiting = shell("true", name="two", breaker={"name": "crm"}, timeout={"total": "5s"})
    run = await engine.run({"tasks": [task, waiting]})
    assert run.status is RunStatus.FAILED
    tasks = await engine.tasks(run.id)
    found = {name: (task.attempts, task.code, task.error) for name, task in tasks.items()}
    assert found["one"] == (0, "breaker_open", "breaker crm is open: moving")
    assert found["two"][:2] == (0, "held")
    assert str(found["two"][2]).endswith("timeout.total is 5s")


@pytest.mark.usefixtures("worker")
async def test_limits_are_kept_for_all_tasks_that_share_them(engine: Engine) -> None:
    limits = [
        {"name": "paced", "rate": 4, "per": "1s"},
        {"name": "narrow", "concurrency": 2},
    ]
    many = {"forEach": list(range(6)), "maxParallel": 6}
    paced = shell("true", name="paced", limit="paced", **many)
    narrow = shell("sleep 0.3", name="narrow", limit="narrow", **many)
    run = await engine.run({"limits": limits, "tasks": [paced, narrow]})
    assert run.status is RunStatus.SUCCEEDED
    tasks = await engine.tasks(run.id)
    attempts = await engine.ports.run_lists.attempts([task.id for task in tasks.values()])
    names = {task.id: task.name for task in tasks.values()}
    begun = sorted(each.started_at for each in attempts if names[each.task_id] == "paced")
    gaps = [(after - before).total_seconds() for before, after in itertools.pairwise(begun)]
    assert sum(gaps) > 1.0
    spans = [
        (each.started_at, each.ended_at) for each in attempts if names[each.task_id] == "narrow"
    ]
    for moment, _ in spans:
        at_once = sum(begin <= moment < (end or moment) for begin, end in spans)
        assert at_once <= 2
