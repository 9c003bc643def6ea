"""The wait keeper: wakes the workflows of runs whose waiting tasks were answered."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from activityctl.daemon.worker.child_runs import ChildRuns
from activityctl.errors import RefusedError
from activityctl.ports import RunStarter, Waits

_LOG = logging.getLogger(__name__)
_OVERDUE: Final = timedelta(seconds=5)
"""After this long, the timer of the workflow that ends a wait counts as lost."""
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 300.0


class WaitKeeper:
    """Signals workflows until their tasks are settled; a lost signal is repeated.

    A run that does not answer is signalled later and later, so that its history stays small.
    """

    def __init__(
        self,
        waits: Waits,
        starter: RunStarter,
        children: ChildRuns,
        *,
        is_stuck: Callable[[str], bool] = lambda _: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_stuck` tells by its id whether the code of a workflow cannot go on."""
        self._waits = waits
        self._starter = starter
        self._children = children
        self._is_stuck = is_stuck
        self._monotonic = monotonic
        self._signalled: dict[str, tuple[float, float]] = {}
        """By run id: when it is signalled again, and the pause after that."""

    async def keep(self) -> None:
        """Keep child runs in step, and wake the runs that have to look at their waiting tasks.

        Raises after all were tried, if one could not be signalled.
        """
        await self._children.keep()
        failure: Exception | None = None
        waiting = await self._waits.to_settle(_OVERDUE)
        open_ids = {run_id for run_id, _ in waiting}
        self._signalled = {key: at for key, at in self._signalled.items() if key in open_ids}
        for run_id, workflow_id in waiting:
            if self._is_stuck(workflow_id) or not self._is_its_turn(run_id):
                continue
            try:
                await self._starter.wake(run_id, workflow_id)
            except RefusedError as error:
                _LOG.warning("could not wake a run: %s", error, extra={"run": run_id})
                failure = error
        if failure is not None:
            raise failure

    def _is_its_turn(self, run_id: str) -> bool:
        """Return whether the run may be signalled now, and count it if so."""
        now = self._monotonic()
        at, pause = self._signalled.get(run_id, (now, _FIRST_PAUSE))
        if now < at:
            return False
        self._signalled[run_id] = (now + pause, min(2 * pause, _LONGEST_PAUSE))
        return True
