"""The verbs that run something again, by the ports of Postgres, in this process."""

from collections.abc import Sequence

from activityctl.cli.server_time import server_clock
from activityctl.cli.session import now
from activityctl.cli.verbs.redo import OnLeftOut
from activityctl.cli.verbs.verbs import OnProgress
from activityctl.domain.runs.dead_letter import DeadLetter, LetterOutcome, LetterRequest
from activityctl.domain.runs.replay_request import ReplayOutcome, ReplayRequest
from activityctl.domain.runs.run import Run
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.json_form import View
from activityctl.errors import ConflictError, NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.runs.letter_view import letter_view
from activityctl.operations.runs.letters import (
    Act,
    act_on,
    find_letter,
    letter_details,
    new_revision_changes,
)
from activityctl.operations.runs.outcome_diff import outcome_diff
from activityctl.operations.runs.replay_runs import ReplayPlanner, store_replays
from activityctl.operations.runs.replay_view import planned_view
from activityctl.wiring import Ports


@frozen_dataclass
class LocalRedo:
    """Carries out each verb here."""

    ports: Ports

    async def letter(self, reference: str) -> View:
        """Return a dead letter with everything needed to understand and redo it."""
        ports = self.ports
        found = await find_letter(ports.run_lists, reference)
        details = await letter_details(ports.catalog, ports.run_lists, ports.letters, found)
        return letter_view(details)

    async def revision_changes(self, chosen: Sequence[DeadLetter]) -> list[str]:
        """Return in words how the present revisions differ from those that failed."""
        found = await new_revision_changes(self.ports.catalog, self.ports.run_lists, chosen)
        return [line for change in found for line in change.lines]

    async def retry(
        self, chosen: Sequence[DeadLetter], request: LetterRequest, on_progress: OnProgress
    ) -> list[LetterOutcome]:
        """Start a new run for each letter; return one outcome for each."""
        return await self._act(self.ports.letters.retry, chosen, request, on_progress)

    async def discard(
        self, chosen: Sequence[DeadLetter], request: LetterRequest, on_progress: OnProgress
    ) -> list[LetterOutcome]:
        """Close the letters; return one outcome for each."""
        return await self._act(self.ports.letters.discard, chosen, request, on_progress)

    async def _act(
        self,
        act: Act,
        chosen: Sequence[DeadLetter],
        request: LetterRequest,
        on_progress: OnProgress,
    ) -> list[LetterOutcome]:
        clock = await server_clock(self.ports)
        return await act_on(act, chosen, request, clock, on_progress=on_progress)

    async def plan_replays(
        self,
        runs: Sequence[Run],
        request: ReplayRequest,
        on_progress: OnProgress,
        on_left_out: OnLeftOut | None,
    ) -> list[View]:
        """Return what replays would do; without `on_left_out`, each must be possible."""
        planner = ReplayPlanner(self.ports.catalog, self.ports.runs, request)
        planned: list[View] = []
        for index, run in enumerate(runs):
            try:
                planned.append(planned_view(await planner.plan(run, now())))
            except (ConflictError, NotFoundError) as error:
                if on_left_out is None:
                    raise
                on_left_out(run.id, error.message)
            on_progress(index + 1, len(runs))
        return planned

    async def replay(
        self, run_ids: Sequence[RunId], request: ReplayRequest, on_progress: OnProgress
    ) -> list[ReplayOutcome]:
        """Store the wish to replay the runs; return one outcome for each."""
        clock = await server_clock(self.ports)
        return await store_replays(
            self.ports.replays, run_ids, request, clock, on_progress=on_progress
        )

    async def outcome_diff(self, before: RunId, after: RunId) -> View:
        """Return the outcomes of a run and of its replay side by side."""
        return await outcome_diff(self.ports.runs, before, after)
