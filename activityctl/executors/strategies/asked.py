"""A strategy that makes calls for an on-chain account: asked as a service behind hooks is.

What it answers is kept in the form of a service's response before anything is signed or sent. An
attempt after that does not run it again.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from activityctl.domain.chain.hook_outcome import OutcomeKind
from activityctl.domain.chain.hook_signatures import SignatureProfile
from activityctl.executors.python_body import PythonBody
from activityctl.executors.trigger_steps import (
    Answered,
    AskedExecutor,
    Exchange,
    TriggerSteps,
    call_output,
    expected_response,
)
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import ExecutorOutcome, JsonValue, TaskCall

_PROGRESS_SECONDS: Final = 1.0


@frozen_dataclass
class StrategyAnswer:
    """What a strategy has answered: a response, that it skips, or the call that it wants."""

    outcome: ExecutorOutcome
    task: Any = None
    """`executable` and `executorSignature`, not checked yet."""


Ask = Callable[
    [PythonBody, TaskCall, float, Mapping[str, JsonValue] | None], Awaitable[StrategyAnswer]
]


@dataclass(slots=True)
class AskedStrategy:
    """Implements `Party`: runs the strategy. It is not told; later tasks read the outcome."""

    run: Ask
    body: PythonBody
    clock: Callable[[], datetime]
    is_running: bool = False

    async def ask(self, exchange: Exchange) -> Answered:
        """Run the strategy and put its answer into the form of a response."""
        row = exchange.row
        params = row.payload["params"]
        account = params["subscription"]
        self.is_running = True
        try:
            answer = await self.run(self.body, exchange.call, exchange.seconds_left, account)
        finally:
            self.is_running = False
        response: dict[str, Any] = {"requestID": row.request_id, "skip": answer.task is None}
        if answer.task is not None:
            response["task"] = {
                "subaccount": params["subAccountAddress"],
                "executor": params["executorAddress"],
                **answer.task,
            }
        else:
            response["output"] = answer.outcome.output
            response["reason"] = answer.outcome.skipped
        expected = expected_response(row, None, SignatureProfile.BUILDER_KIT, self.clock())
        return Answered(json.dumps(response, ensure_ascii=False).encode(), {}, expected)

    async def tell(self, exchange: Exchange) -> tuple[str | None, str | None]:
        """Return that nothing is told."""
        del exchange
        return None, None


async def asked_outcome(
    steps: TriggerSteps, strategy: AskedStrategy, executor: str, call: TaskCall
) -> ExecutorOutcome:
    """Take the steps that are left; return what the task gives. Raises TaskError if it fails."""
    body = strategy.body
    asked = AskedExecutor(executor, body.registry_id or body.strategy)
    async with _progress(strategy, call):
        row = await steps.take(body, call, asked, strategy)
    output = {"response": None, **call_output(row)}
    if row.outcome is None or row.outcome.kind is not OutcomeKind.SKIPPED:
        return ExecutorOutcome(output)
    answer = json.loads(row.response or "{}")
    return ExecutorOutcome({**output, **answer["output"]}, skipped=answer["reason"])


@asynccontextmanager
async def _progress(strategy: AskedStrategy, call: TaskCall) -> AsyncIterator[None]:
    """Say that the attempt goes on, as long as it does."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            if not strategy.is_running:  # then it says so itself, with `context.heartbeat`
                call.progress()

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
