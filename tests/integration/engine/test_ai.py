"""The run engine with a model's server: its limits are kept to, and bad answers fail their task."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activityctl.domain.runs.run import RunStatus
from support.engine import Engine
from support.http_server import Server, answering
from support.model_server import SCHEMA, events, gives, openai_chunk, says


class ModelServer:
    """A server of models that behaves in the way that the path of each request names."""

    def __init__(self) -> None:
        self.server = Server(self.answer)
        self.keys: dict[str, list[str]] = {}

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        request = self.server.requests[-1]
        name = request.target.split("/")[1]
        keys = self.keys.setdefault(name, [])
        keys.append(request.headers["idempotency-key"])
        match name:
            case "limited" if len(keys) == 1:
                await answering(b"later", "429 Too Many", ["Retry-After: 1"])(writer)
            case "stuck":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                writer.write(events(openai_chunk({"content": "x"})))
                await asyncio.sleep(60)
            case "down":
                await answering(b"down", "500 Down")(writer)
            case "words":
                await says("openai", "I would say seven.")(writer)
            case _:
                await gives("openai", {"score": 7})(writer)


@pytest.fixture
async def models() -> AsyncIterator[ModelServer]:
    made = ModelServer()
    listener = await asyncio.start_server(made.server.talk, "127.0.0.1", 0)
    made.server.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()
    for talk in made.server.talks:
        talk.cancel()
    await asyncio.gather(*made.server.talks, return_exceptions=True)


OUTCOMES = {
    "limited": ("succeeded", 2, ""),
    "stuck": ("failed", 1, "heartbeat"),
    "down": ("failed", 2, "500 Down"),
    "words": ("failed", 1, "does not fit output.schema"),
}
"""For each server: how the task ends, after how many attempts, and with which error."""


@pytest.mark.usefixtures("worker")
async def test_models_that_limit_fail_or_stop_have_their_outcomes(
    engine: Engine, models: ModelServer
) -> None:
    def task(name: str, **fields: Any) -> dict[str, Any]:
        body = {
            "provider": "openai",
            "model": "m-1",
            "baseUrl": f"{models.server.url}/{name}/v1",
            "prompt": "How many?",
            "output": {"schema": SCHEMA},
        }
        return {"name": name, "ai": body, **fields}

    await engine.apply(
        {
            "tasks": [
                task("limited"),
                task("stuck", timeout={"heartbeat": "2s"}, retry={"maxAttempts": 1}),
                task("down", retry={"maxAttempts": 2, "initialInterval": "50ms"}, breaker={}),
                task("words"),
            ]
        }
    )
    run = await engine.ended(await engine.fire(), 40)
    assert run.status is RunStatus.FAILED
    found = await engine.tasks(run.id)
    for name, (status, attempts, error) in OUTCOMES.items():
        ended = found[name]
        assert (ended.status, ended.attempts) == (status, attempts), (name, ended.error)
        assert error in (ended.error or ""), name
    assert found["limited"].output["json"] == {"score": 7}
    assert found["limited"].output["usage"]["totalTokens"] == 16
    assert found["words"].output["usage"]["requests"] == 2
    assert models.keys["limited"] == [found["limited"].id] * 2
    assert models.keys["words"] == [found["words"].id, f"{found['words'].id}/2"]
    assert found["down"].guard is not None
    assert found["down"].guard.breaker_name == f"127.0.0.1:{models.server.port}"
    log = [entry.message for entry in await engine.log(run.id)]
    assert any("limited attempt 1 failed" in line and "Retry-After" in line for line in log)
