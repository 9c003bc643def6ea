"""Runs code with the real executor."""

from typing import Any

import pytest

from activityctl.errors import TaskError
from activityctl.executors.code import CodeBody, CodeExecutor
from support.commands import a_call

WRITTEN_SECONDS = 20.0


async def run(*, seconds: float = WRITTEN_SECONDS, **body: Any) -> dict[str, Any]:
    executor = CodeExecutor()
    try:
        parsed = CodeBody.model_validate(body)
        return (await executor.execute(parsed, a_call(seconds))).output
    finally:
        await executor.close()


async def failing(*, seconds: float = WRITTEN_SECONDS, **body: Any) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await run(seconds=seconds, **body)
    return caught.value
