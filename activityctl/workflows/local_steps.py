"""LocalSteps: the steps that a workflow calls in its own worker, and the order of their results."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activityctl.domain.timing.firing import FiringRef, Ringing
    from activityctl.workflows import calls
    from activityctl.workflows.calls import Orders, Rung, StopOrder

RESULTS_IN_TURN = "results-in-turn"
"""The patch since which the results of local steps come one after the other."""

_UNTIL_POSTGRES_ANSWERS = RetryPolicy(
    initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=5)
)
_TIMEOUT = timedelta(seconds=60)
_ROUNDS = 40
"""Rounds of the event loop in which all follows that a result makes possible: fewer than ten, and
those for which tasks wait for others that share their call."""


async def ring(ringing: Ringing) -> Rung:
    """Decide what is due of the triggers of an alarm, as far as it is done at once."""
    return await workflow.execute_local_activity(
        calls.ring,
        ringing,
        start_to_close_timeout=_TIMEOUT,
        retry_policy=_UNTIL_POSTGRES_ANSWERS,
    )


class LocalSteps:
    """Calls steps until Postgres answers. A workflow has one of these, for all its runs.

    When steps take long, their results come one by one; a replay may get several of them together.
    What follows a result must then not mix with what follows the next one, or the commands have
    another order than in the history, and the workflow cannot go on.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._keeps_order = False

    def keep_order(self) -> None:
        """Give out the results in turn from now on, unless an older history is replayed.

        To be called before several steps are called at the same time.
        """
        self._keeps_order = self._keeps_order or workflow.patched(RESULTS_IN_TURN)

    async def admit(self, firing: FiringRef) -> Orders:
        """Admit the firing."""
        try:
            (orders,) = await workflow.execute_local_activity(
                calls.admit,
                [firing],
                start_to_close_timeout=_TIMEOUT,
                retry_policy=_UNTIL_POSTGRES_ANSWERS,
            )
        finally:
            await self._take_turn()
        return orders

    async def admit_many(self, firings: list[FiringRef]) -> list[Orders | None]:
        """Admit the firings; None for those to be admitted by themselves."""
        try:
            return await workflow.execute_local_activity(
                calls.admit_many,
                firings,
                start_to_close_timeout=_TIMEOUT,
                retry_policy=_UNTIL_POSTGRES_ANSWERS,
            )
        finally:
            await self._take_turn()

    async def record(self, stop: StopOrder) -> Orders:
        """Record an end that came from outside of an executor."""
        try:
            return await workflow.execute_local_activity(
                calls.record,
                stop,
                start_to_close_timeout=_TIMEOUT,
                retry_policy=_UNTIL_POSTGRES_ANSWERS,
            )
        finally:
            await self._take_turn()

    async def settle(self, run_id: str) -> Orders:
        """End the waits of the run that are over."""
        try:
            return await workflow.execute_local_activity(
                calls.settle,
                run_id,
                start_to_close_timeout=_TIMEOUT,
                retry_policy=_UNTIL_POSTGRES_ANSWERS,
            )
        finally:
            await self._take_turn()

    async def _take_turn(self) -> None:
        """Wait until everything has followed that came earlier."""
        if self._keeps_order:
            async with self._turn:
                for _ in range(_ROUNDS):
                    await asyncio.sleep(0)
