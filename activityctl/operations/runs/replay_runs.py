"""Replay runs: find what would be called again, then store the wish."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec, Revision
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.admission import AdmissionInput, new_run
from activityctl.domain.runs.rehearsal import Rehearsal, rehearse
from activityctl.domain.runs.replay import ReplayedRun
from activityctl.domain.runs.replay_request import REPLAYS_AT_ONCE, ReplayOutcome, ReplayRequest
from activityctl.domain.runs.run import ENDED_RUNS, FAILURES, Run, RunState
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.choose import choose_runs
from activityctl.ports import Catalog, Replays, RunLists, RunStore

_ENDED: Final = tuple(sorted(ENDED_RUNS))
_USUAL: Final = tuple(sorted(FAILURES))
"""A filter without a status selects these."""


async def choose_replayed(
    catalog: Catalog, lists: RunLists, choice: Choice, request: ReplayRequest
) -> list[Run]:
    """Return the runs that are named, or those to replay that the filters select, oldest first.

    Of each firing, filters select the last run only, and none that is a replay of this request: a
    request that is repeated replays nothing twice. Raises what `choose_runs` raises.
    """
    found = await choose_runs(catalog, lists, choice, _ENDED, _USUAL, are_last=True)
    return found if choice.is_by_name else [run for run in found if not _is_of(request, run)]


def _is_of(request: ReplayRequest, run: Run) -> bool:
    """Return whether the run is a replay that this request has made."""
    before = run.replay_of
    return before is not None and run.firing_key == ids.replay_of_key(before, request.name)


@frozen_dataclass
class PlannedReplay:
    """A run that is to be replayed, and what the replay would do."""

    before: RunState
    revision: Revision
    """The revision that the replay has."""
    rehearsal: Rehearsal
    relays: bool = True
    """Whether it may send calls of executors as transactions."""


class ReplayPlanner:
    """Finds what replays would do; it reads each subscription and definition once."""

    def __init__(self, catalog: Catalog, runs: RunStore, request: ReplayRequest) -> None:
        self._catalog = catalog
        self._runs = runs
        self._request = request
        self._owners: dict[str, Subscription] = {}
        self._present: dict[str, Revision] = {}
        self._revisions: dict[str, dict[str, Revision]] = {}

    async def plan(self, run: Run, now: datetime) -> PlannedReplay:
        """Return what the replay of the run would do at this moment.

        ConflictError if the run has not ended or its subscription was deleted, NotFoundError if
        the definition has no task of a name in the request.
        """
        before = await self._runs.load(run.id)
        if before is None or not before.run.has_ended:
            raise ConflictError(
                f"run {run.id} has not ended: {run.status}",
                hint=f"activityctl wait {run.id[:8]}, or activityctl cancel {run.id[:8]}",
            )
        owner = await self._owner(before.run)
        revision, spec = await self._revision(before, owner)
        _require_tasks(spec, self._request.options.from_tasks)
        replayed = ReplayedRun(before.run, before.tasks, self._request.options)
        key = ids.replay_of_key(run.id, self._request.name)
        firing = FiringRequest(run.subscription_id, run.trigger, key, run.due_at).ref
        params = owner.params if self._request.latest else before.run.params
        facts = AdmissionInput(owner, revision, spec, params, {}, replayed=replayed)
        again = new_run(firing, facts, now)
        rehearsal = rehearse(before, again, spec, replayed, now)
        return PlannedReplay(before, revision, rehearsal, self._request.options.relays)

    async def _owner(self, run: Run) -> Subscription:
        if run.subscription_id not in self._owners:
            found = await self._catalog.find_subscription(run.subscription_id)
            self._owners[run.subscription_id] = found
        owner = self._owners[run.subscription_id]
        if owner.status is SubscriptionStatus.DELETED:
            raise ConflictError(
                f'subscription "{owner.name}" was deleted', hint="apply its manifest again"
            )
        return owner

    async def _revision(
        self, before: RunState, owner: Subscription
    ) -> tuple[Revision, DefinitionSpec]:
        if self._request.latest:
            name = owner.definition
            if name not in self._present:
                ((_, self._present[name]),) = await self._catalog.definitions(Selection(name=name))
            revision = self._present[name]
            spec = (await self._runs.specs_of([revision.id]))[revision.id]
            return revision, spec.for_trigger(before.run.trigger)
        name = before.run.definition
        if name not in self._revisions:
            found = await self._catalog.revisions(Selection(name=name, limit=None))
            self._revisions[name] = {revision.id: revision for revision in found}
        return self._revisions[name][before.run.revision_id], before.spec


def _require_tasks(spec: DefinitionSpec, names: Sequence[str]) -> None:
    known = [task.name for task in (*spec.tasks, *spec.on_success)]
    for name in names:
        if name not in known:
            first = name.partition(".")[0].partition("[")[0]
            is_inside = first != name and first in known
            hint = f"name the whole task: {first}" if is_inside else f"tasks: {', '.join(known)}"
            raise NotFoundError("task", name, hint=hint)


async def store_replays(
    replays: Replays,
    run_ids: Sequence[ids.RunId],
    request: ReplayRequest,
    clock: Callable[[], datetime],
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[ReplayOutcome]:
    """Store the replays, some in each transaction; return one outcome for each run."""
    outcomes: list[ReplayOutcome] = []
    for start in range(0, len(run_ids), REPLAYS_AT_ONCE):
        some = run_ids[start : start + REPLAYS_AT_ONCE]
        outcomes += await replays.replay(some, request, clock())
        on_progress(len(outcomes), len(run_ids))
    return outcomes
