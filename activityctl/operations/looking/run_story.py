"""Read everything about one run that tells what happened, and why."""

from typing import Final

from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.rule_values import rule_values, rule_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.runs.tracing import run_context
from activityctl.domain.values.json_form import View, log_view
from activityctl.domain.values.log import LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.get import ObjectViews
from activityctl.ports import Catalog, Logbook, RunLists, RunStore

LOG_LINES: Final = 20


@frozen_dataclass
class RunStory:
    """Reads the story of a run from the ports."""

    views: ObjectViews
    catalog: Catalog
    lists: RunLists
    runs: RunStore
    logbook: Logbook

    async def tell(self, reference: str) -> View:
        """Return the run with its tasks, events, rules, last log lines and dead letter."""
        run = await self.lists.find_run(reference)
        described = await self.views.describe("runs", run.id)
        tasks = described.pop("tasks")
        workflow = await self._workflow(run)
        return {
            **described,
            "revisionNumber": await self._revision_number(run),
            "traceId": run_context(run).trace_id,
            "workflow": workflow,
            "heldByPause": workflow is not None and await self._is_held_by_pause(run),
            "events": [dict(event) for event in run.events],
            "rules": await self._rules(run),
            "deadLetter": await self._letter(run),
            "tasks": tasks,
            "log": await self._log(run),
        }

    async def _workflow(self, run: Run) -> str | None:
        if run.status is RunStatus.MISSED:  # older rows name one that never was
            return None
        return await self.lists.workflow_of(run.id)

    async def _is_held_by_pause(self, run: Run) -> bool:
        """Return whether a run stays in the queue until somebody resumes its subscription.

        A firing without a workflow is not in the queue.
        """
        if run.status is not RunStatus.QUEUED:
            return False
        owner = await self.catalog.find_subscription(run.subscription_id)
        return owner.status is SubscriptionStatus.PAUSED

    async def tell_last(self, subscription: str) -> View:
        """Return the story of the newest run of a subscription; NotFoundError for none."""
        owner = await self.catalog.find_subscription(subscription)
        latest = await self.lists.latest_runs([owner.id])
        if owner.id not in latest:
            raise NotFoundError(
                "run of subscription", owner.name, hint=f"activityctl next {owner.name}"
            )
        return await self.tell(latest[owner.id].id)

    async def _revision_number(self, run: Run) -> int | None:
        revisions = await self.catalog.revisions(Selection(name=run.definition, limit=None))
        return {revision.id: revision.number for revision in revisions}.get(run.revision_id)

    async def _rules(self, run: Run) -> list[View]:
        spec = await self.runs.spec_of_run(run.id)
        return [] if spec is None else [rule_view(rule) for rule in rule_values(run, spec)]

    async def _letter(self, run: Run) -> View | None:
        found = await self.lists.dead_letters(Selection(run_id=run.id, limit=1))
        return {"id": found[0].id, "status": found[0].status.value} if found else None

    async def _log(self, run: Run) -> list[View]:
        wanted = LogFilter((run.subscription_id,), run.id)
        entries, _ = await self.logbook.last(wanted, LOG_LINES)
        return [log_view(entry) for entry in entries]
