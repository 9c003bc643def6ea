"""The context sources `http`, `file` and `env`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from activityctl.errors import TaskError
from activityctl.executors.env import EnvSource
from activityctl.executors.file import FileSource
from activityctl.executors.http import HttpSource
from activityctl.executors.http_client import HttpClient
from activityctl.executors.local_file import AllowedFolders
from support.http_server import LOOPBACK, Server, answering, answering_json

Look = Callable[..., Awaitable[Any]]


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[Server]:
    made = Server(answering())
    listener = await asyncio.start_server(made.talk, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()
    for talk in made.talks:
        talk.cancel()
    await asyncio.gather(*made.talks, return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="session")
async def http() -> AsyncIterator[HttpSource]:
    client = HttpClient(allow_http=True, allowed_networks=LOOPBACK)
    yield HttpSource(client)
    await client.close()


async def failing(look: Look, *args: Any, **body: Any) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await look(*args, **body)
    return caught.value


async def test_the_body_of_a_response_is_the_value(
    server: Server, http: HttpSource, look: Look
) -> None:
    server.answer = answering_json('{"active": true}')
    assert await look(http, url=server.url) == {"active": True}
    assert server.requests[0].headers["idempotency-key"] == "run-1/context/value"
    response = await look(http, url=server.url, result="response")
    assert (response["status"], response["json"]) == (200, {"active": True})
    assert await look(http, url=server.url, paginate={}) == [{"active": True}]
    server.answer = answering(b"plain")
    assert await look(http, url=server.url) == "plain"
    server.answer = answering(status="204 No Content")
    assert await look(http, url=server.url) is None


async def test_a_call_of_a_source_has_the_limits_of_a_task(
    server: Server, http: HttpSource, look: Look
) -> None:
    async def never(_writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    server.answer = never
    error = await failing(look, http, url=server.url)
    assert (error.task_code, error.may_retry) == ("timeout", True)
    assert error.message.endswith("no complete response within 2 s (timeout)")
    error = await failing(look, http, url="http://10.0.0.1/")
    assert (error.task_code, error.may_retry) == ("destination_forbidden", False)
    server.answer = answering(status="503 Busy", headers=["Retry-After: 3"])
    error = await failing(look, http, url=server.url)
    assert (error.task_code, error.retry_after_seconds) == ("unexpected_status", 3)


async def test_a_file_is_read_as_json_or_text(tmp_path: Path, look: Look) -> None:
    source = FileSource(AllowedFolders([tmp_path]))
    (tmp_path / "a.json").write_text('{"price": 7}')
    (tmp_path / "a.txt").write_text("text\x1b")
    (tmp_path / "latin").write_bytes(b"\xe4")
    assert await look(source, path=f"{tmp_path}/a.json") == {"price": 7}
    assert json.loads(await look(source, path=f"{tmp_path}/a.json", format="text"))
    assert await look(source, path=f"{tmp_path}/a.txt") == "text\ufffd"
    for name, options in (("a.txt", {"format": "json"}), ("latin", {})):
        error = await failing(look, source, path=f"{tmp_path}/{name}", **options)
        assert (error.task_code, error.may_retry) == ("file_unfit", False)
    (tmp_path / "large").write_bytes(b"x" * (1024 * 1024 + 1))
    error = await failing(look, source, path=f"{tmp_path}/large")
    assert (error.task_code, error.may_retry) == ("file_too_large", False)
    assert (await failing(look, source, path="/etc/hostname")).task_code == "file_forbidden"
    endless = FileSource(AllowedFolders([Path("/dev")]))
    with contextlib.suppress(FileNotFoundError):
        assert (await failing(look, endless, path="/dev/zero")).task_code == "file_forbidden"


async def test_only_allowed_variables_are_given(look: Look) -> None:
    source = EnvSource({"REGION": "eu", "STAGE": None})
    assert await look(source, names=["REGION"]) == {"REGION": "eu"}
    for name, code in (("STAGE", "variable_missing"), ("PATH", "variable_forbidden")):
        error = await failing(look, source, names=["REGION", name])
        assert (error.task_code, error.may_retry) == (code, False)
        assert name in error.message
