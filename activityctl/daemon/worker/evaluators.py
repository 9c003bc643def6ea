"""Evaluators: the processes in which a worker evaluates what may be much work."""

from types import TracebackType
from typing import Final, Self

from activityctl import wiring
from activityctl.domain.cel.evaluator import Evaluator, set_evaluator
from activityctl.steps.deciding import Deciding

_SECONDS_FOR_EVENT: Final = 5.0
"""How long the evaluator processes may work for the filters of one event, or for its keys."""
_SECONDS_FOR_DECISION: Final = 10.0
"""How long they may work for one decision about a run."""


class Evaluators:
    """One process for the router and one for the runs, so that neither waits for the other.

    Each is started when it is first needed.
    """

    def __init__(self) -> None:
        self._of_router = wiring.build_evaluators()
        self._of_runs = wiring.build_evaluators()
        self.deciding = Deciding(self.for_decision)

    def for_event(self) -> Evaluator:
        """Return the evaluator for one event."""
        return self._of_router.session(_SECONDS_FOR_EVENT)

    def for_decision(self) -> Evaluator:
        """Return the evaluator for one decision about a run."""
        return self._of_runs.session(_SECONDS_FOR_DECISION)

    def __enter__(self) -> Self:
        """Use the evaluator of runs in all tasks and threads that are started from now on."""
        set_evaluator(self._of_runs.session())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the processes and threads."""
        set_evaluator(None)
        self.deciding.close()
        self._of_router.close()
        self._of_runs.close()
