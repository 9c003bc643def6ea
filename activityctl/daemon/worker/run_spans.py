"""Tells the spans of runs that have ended, after the steps that end them have answered."""

import asyncio
from typing import Any

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activityctl.steps.tracing import Tracing
from activityctl.workflows.calls import Orders


class RunSpans(Interceptor):
    """Looks at the answers of the steps; nothing waits for what it does with them."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._telling: set[asyncio.Task[None]] = set()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  # Temporal's name
        """Return what calls the step and looks at its answer."""
        return _Answers(next, self)

    def look(self, answer: object) -> None:
        """Tell the spans of the runs that are over by this answer."""
        for orders in answer if isinstance(answer, list) else [answer]:
            if isinstance(orders, Orders) and orders.is_over:
                task = asyncio.create_task(self._tracing.run_ended(orders.run_id))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Wait for what is still being told."""
        await asyncio.gather(*self._telling, return_exceptions=True)


class _Answers(ActivityInboundInterceptor):
    def __init__(self, step: ActivityInboundInterceptor, spans: RunSpans) -> None:
        super().__init__(step)
        self._spans = spans

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  # Temporal's name
        answer = await super().execute_activity(input)
        self._spans.look(answer)
        return answer
