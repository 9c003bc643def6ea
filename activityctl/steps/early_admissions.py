"""EarlyAdmissions: prepares the admission of a run while Temporal is starting its workflow.

Both take about as long, and neither needs the other. What is decided is committed once the workflow
is there, so a run never begins without one. The workflow then finds its answer ready.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import ContextVar, copy_context
from typing import Any, Final

from activityctl.domain.timing.firing import FiringRef
from activityctl.workflows.calls import Orders

_FEW: Final = 4
"""So many at once. More firings share workflows, and would only take turns here."""
_KEPT_SECONDS: Final = 10.0
"""How long an answer waits for its workflow. Who asks later finds the run in Postgres."""
_STARTED: ContextVar["asyncio.Future[None] | None"] = ContextVar("started", default=None)


def workflow_is_there() -> Awaitable[None] | None:
    """Return what an early admission waits for before it commits; None for any other.

    It raises CancelledError if the workflow could not be started.
    """
    started = _STARTED.get()
    return None if started is None else asyncio.shield(started)


class EarlyAdmissions:
    """The admissions of this process that no workflow has asked for yet.

    Each opens the run as its workflow would. So whoever asks again finds the run open, and where
    none was committed, the workflow opens it: another worker's, or this one's after a crash.
    """

    def __init__(
        self,
        admit: Callable[[FiringRef], Coroutine[Any, Any, Orders]],
        may_begin: Callable[[FiringRef], bool],
    ) -> None:
        """`admit` admits one firing, or finds its run open; `may_begin` says whether it may now."""
        self._admit = admit
        self._may_begin = may_begin
        self._answers: dict[FiringRef, asyncio.Task[Orders]] = {}

    async def starting(self, firings: Sequence[FiringRef], start: Awaitable[None]) -> None:
        """Wait for `start`, which starts the workflow of the firings; admit them meanwhile."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        begun = self.begin(firings, started)
        try:
            await start
        except BaseException:
            started.cancel()
            for firing, answer in begun:
                self._forget(firing, answer)
            raise
        started.set_result(None)

    def begin(
        self, firings: Sequence[FiringRef], started: "asyncio.Future[None] | None" = None
    ) -> list[tuple[FiringRef, "asyncio.Task[Orders]"]]:
        """Begin to admit the firings, if they are a few, for a workflow that asks soon.

        They are committed when `started` is done; None if the workflow is there already.
        """
        if len(firings) + len(self._answers) > _FEW:
            return []
        begun = []
        for firing in firings:
            if firing not in self._answers and self._may_begin(firing):
                context = copy_context()
                context.run(_STARTED.set, started)
                answer = asyncio.create_task(self._admit(firing), context=context)
                self._answers[firing] = answer
                asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._forget, firing, answer)
                begun.append((firing, answer))
        return begun

    async def answer(self, firing: FiringRef) -> Orders | None:
        """Return the answer for the workflow that the firing names, once; None if there is none.

        Raises what the admission has raised.
        """
        answer = self._answers.pop(firing, None)
        if answer is None:
            return None
        await asyncio.wait([answer])
        return None if answer.cancelled() else answer.result()

    async def close(self) -> None:
        """End the admissions that no workflow waits for."""
        answers = list(self._answers.values())
        self._answers = {}
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)

    def _forget(self, firing: FiringRef, answer: "asyncio.Task[Orders]") -> None:
        """Drop an answer that nobody has asked for; one at work goes on, as its run may be open."""
        if self._answers.get(firing) is answer:
            del self._answers[firing]
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())


async def only_start(firings: Sequence[FiringRef], start: Awaitable[None]) -> None:  # noqa: ARG001  # the signature of `starting`
    """Wait for `start`; do nothing meanwhile."""
    await start
