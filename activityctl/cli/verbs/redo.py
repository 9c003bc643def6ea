"""The verbs that run something again: dead letters and past runs."""

from collections.abc import Callable, Sequence
from typing import Protocol

from activityctl.cli.verbs.verbs import OnProgress
from activityctl.domain.runs.dead_letter import DeadLetter, LetterOutcome, LetterRequest
from activityctl.domain.runs.replay_request import ReplayOutcome, ReplayRequest
from activityctl.domain.runs.run import Run
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.json_form import View
from activityctl.wiring import Ports, RemotePorts

OnLeftOut = Callable[[str, str], None]
"""Takes the id of a run that cannot be replayed, and why."""


class RedoVerbs(Protocol):
    """Operations on what has failed, or has run before."""

    async def letter(self, reference: str) -> View:
        """Return a dead letter with everything needed to understand and redo it."""
        ...

    async def revision_changes(self, chosen: Sequence[DeadLetter]) -> list[str]:
        """Return in words how the present revisions differ from those that failed."""
        ...

    async def retry(
        self, chosen: Sequence[DeadLetter], request: LetterRequest, on_progress: OnProgress
    ) -> list[LetterOutcome]:
        """Start a new run for each letter; return one outcome for each."""
        ...

    async def discard(
        self, chosen: Sequence[DeadLetter], request: LetterRequest, on_progress: OnProgress
    ) -> list[LetterOutcome]:
        """Close the letters; return one outcome for each."""
        ...

    async def plan_replays(
        self,
        runs: Sequence[Run],
        request: ReplayRequest,
        on_progress: OnProgress,
        on_left_out: OnLeftOut | None,
    ) -> list[View]:
        """Return what replays of the runs would do.

        A run that cannot be replayed is told to `on_left_out`; if that is None, it is an error.
        """
        ...

    async def replay(
        self, run_ids: Sequence[RunId], request: ReplayRequest, on_progress: OnProgress
    ) -> list[ReplayOutcome]:
        """Store the wish to replay the runs; return one outcome for each."""
        ...

    async def outcome_diff(self, before: RunId, after: RunId) -> View:
        """Return the outcomes of a run and of its replay side by side."""
        ...


def redo_of(ports: Ports) -> RedoVerbs:
    """Return the verbs by the API if that is what was opened, else by Postgres."""
    if isinstance(ports, RemotePorts):
        from activityctl.cli.verbs.remote_redo import RemoteRedo

        return RemoteRedo(ports.api)
    from activityctl.cli.verbs.local_redo import LocalRedo

    return LocalRedo(ports)
