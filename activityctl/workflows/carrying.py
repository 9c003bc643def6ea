"""How a workflow carries its runs to their ends, also if Temporal cancels it meanwhile."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activityctl.workflows.carrier import RunCarrier

_Result = TypeVar("_Result")


async def carry_on(work: "asyncio.Future[_Result]", carriers: Sequence[RunCarrier]) -> _Result:
    """Return the result of the work, also if Temporal cancels the workflow meanwhile.

    A cancellation only asks the carriers. CancelledError when they followed it, so that Temporal
    shows the workflow as cancelled.
    """
    while True:
        try:
            result = await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.done() or workflow.cancellation_reason() is None:
                raise  # the worker removes the workflow from its memory
            for carrier in carriers:
                carrier.ask_to_cancel()
        else:
            break
    is_cancelled = workflow.cancellation_reason() is not None
    if is_cancelled and all(carrier.is_cancelled for carrier in carriers):
        raise asyncio.CancelledError
    return result
