"""What a task stores has no secret in it: its output, its error, its log, and what it kept."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from activityctl.domain.values.secret_ref import SecretRef
from activityctl.errors import TaskError, UnreachableError
from activityctl.executors.command import CommandBody
from activityctl.ports import ExecutorOutcome, FoundSecret, TaskCall
from support.open_run import OpenRun, open_run
from support.secrets import Known

CANARY = "canary-of-a-secret"
ENV = {"TOKEN": {"secretRef": "crm-token"}}


class Telling:
    """An executor that asks for its secret, and then tells it wherever it can."""

    kind = "command"
    body = CommandBody

    def __init__(self, tell: Callable[[str, TaskCall], Awaitable[Any]]) -> None:
        self.tell = tell
        self.values: list[str] = []

    async def execute(self, body: CommandBody, call: TaskCall) -> ExecutorOutcome:
        value = body.env["TOKEN"]
        assert isinstance(value, SecretRef)
        self.values.append(await call.secret(value, host="crm.example:443"))
        return ExecutorOutcome(await self.tell(self.values[-1], call))


async def run(executor: Any, reader: Any, attempts: int = 1) -> OpenRun:
    opened = await open_run({"argv": ["true"], "env": ENV}, executor, reader, attempts)
    await opened.execute()
    return opened


async def stored(opened: OpenRun) -> str:
    """Return all that the run has stored, as one text."""
    return json.dumps([await opened.facts(), await opened.entries()], default=str)


async def test_output_and_log_are_masked_and_the_input_has_only_the_name():
    async def tell(secret: str, call: TaskCall) -> Any:
        await call.log("info", f"using {secret}", {"header": f"Bearer {secret}"})
        await call.stopped({"stdout": secret}, f"last {secret}")
        return {"echo": [secret, {secret: json.dumps(secret)}]}

    opened = await run(Telling(tell), Known({"crm-token": CANARY}))
    (task,) = await opened.tasks()
    assert task.status == "succeeded"
    assert task.input == {"argv": ["true"], "env": ENV}
    assert task.output == {"echo": ["***", {"***": '"***"'}]}
    text = await stored(opened)
    assert "using ***" in text
    assert CANARY not in text


@pytest.mark.parametrize("is_expected", [True, False])
async def test_an_error_is_masked(is_expected: bool, caplog: pytest.LogCaptureFixture):  # noqa: FBT001
    async def tell(secret: str, _: TaskCall) -> Any:
        if is_expected:
            raise TaskError(f"refused {secret}", output={"body": secret}, retryable=False)
        raise RuntimeError(f"illegal value {secret!r}")

    with caplog.at_level(logging.CRITICAL):
        opened = await run(Telling(tell), Known({"crm-token": CANARY}))
    (task,) = await opened.tasks()
    assert task.status == "failed"
    assert "***" in str(task.error)
    assert CANARY not in await stored(opened)


async def test_a_value_of_a_stranger_that_names_a_secret_fails_the_task_before_it_starts():
    async def tell(*_: object) -> Any:
        raise AssertionError

    body = {"argv": ["true"], "env": {"TOKEN": "${ trigger.payload.header }"}}
    payload = {"header": {"secretRef": "crm-token"}}
    reader = Known({"crm-token": CANARY})
    opened = await open_run(body, Telling(tell), reader, payload=payload)
    (task,) = await opened.tasks()
    assert task.status == "failed"
    assert "a value must not choose a secret" in str(task.error)
    assert task.input is None


async def test_a_missing_secret_fails_the_task_at_once_with_the_command_that_sets_it():
    async def tell(*_: object) -> Any:
        raise AssertionError

    opened = await run(Telling(tell), Known({}), attempts=3)
    (task,) = await opened.tasks()
    assert (task.status, task.attempts) == ("failed", 1)
    assert task.error == (
        "secret crm-token is missing on this worker; set it there: "
        "activityctl secrets set crm-token"
    )


async def test_a_secret_is_not_given_for_another_host():
    async def tell(*_: object) -> Any:
        raise AssertionError

    reader = Known({"crm-token": CANARY}, {"crm-token": ("other.example",)})
    (task,) = await (await run(Telling(tell), reader, attempts=3)).tasks()
    assert task.status == "failed"
    assert "is bound to other.example and is not sent to crm.example" in str(task.error)


async def test_a_changed_secret_is_used_by_the_next_attempt_and_a_locked_store_is_retried():
    reader = Known({"crm-token": "first-value"})

    class Locked(Known):
        async def read(self, name: str) -> FoundSecret:
            raise UnreachableError("the key store is locked", hint=f"unlock it ({name})")

    async def tell(secret: str, _: TaskCall) -> Any:
        if secret == "first-value":
            raise TaskError("unauthorized")
        return {"ok": True}

    executor = Telling(tell)
    opened = await open_run({"argv": ["true"], "env": ENV}, executor, reader, 5)
    with pytest.raises(Exception, match="attempt 1 failed"):
        await opened.execute()
    opened.step._secrets = Locked({})
    with pytest.raises(Exception, match="attempt 2 failed"):
        await opened.execute()
    opened.step._secrets = reader
    reader.values["crm-token"] = "second-value"
    await opened.execute()
    assert executor.values == ["first-value", "second-value"]
    assert (await opened.tasks())[0].status == "succeeded"
    assert "the key store is locked; unlock it (crm-token)" in await stored(opened)
