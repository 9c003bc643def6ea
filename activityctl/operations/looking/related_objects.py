"""Read what belongs to one object, such as the tasks of a run."""

import asyncio

from activityctl.domain.events.json_form import verdict_view
from activityctl.domain.manifests.json_form import revision_view
from activityctl.domain.runs.accepted import with_accepted
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.operations.looking.kinds import Kind
from activityctl.operations.looking.limits import waiting_tasks
from activityctl.operations.looking.object_lists import ObjectLists
from activityctl.operations.looking.read_ports import ReadPorts
from activityctl.operations.looking.secret_users import needed_by
from activityctl.operations.looking.sources import refusals_of
from activityctl.operations.looking.task_histories import task_histories


class RelatedObjects:
    """Reads what `describe` shows beside an object."""

    def __init__(self, objects: ObjectLists, ports: ReadPorts) -> None:
        self._objects = objects
        self._ports = ports
        self._catalog = ports.catalog
        self._lists = ports.run_lists

    async def of(self, kind: Kind, view: View) -> View:
        """Return what belongs to an object of that kind."""
        match kind:
            case "subscriptions":
                owned = Selection(subscription_id=view["id"], limit=10)
                schedules, runs, secrets = await asyncio.gather(
                    self._objects.schedules(owned),
                    self._objects.runs(owned),
                    needed_by(self._catalog, view["definition"], view["params"]),
                )
                return {"schedules": schedules, "runs": runs, "secrets": secrets}
            case "runs":
                tasks = await self._tasks_of_run(view["id"])
                return {"replays": await self._replays(view), "tasks": tasks}
            case "events":
                return await self._verdicts_and_runs(view["uid"])
            case "definitions":
                revisions = await self._catalog.revisions(Selection(name=view["name"], limit=10))
                listed = [{**revision_view(revision), "spec": None} for revision in revisions]
                return {
                    "secrets": await needed_by(self._catalog, view["name"], None),
                    "revisions": listed,
                }
            case _:
                return await self._of_few(kind, view)

    async def _of_few(self, kind: Kind, view: View) -> View:
        match kind:
            case "deadletters":
                owner = await self._catalog.find_subscription(view["subscriptionId"])
                return {"subscription": owner.name}
            case "limits":
                return {"waitingTasks": await waiting_tasks(self._lists, view["name"])}
            case "sources":
                return await refusals_of(self._catalog, view["name"])
            case "tasks":
                return (await task_histories(self._lists, [view["id"]]))[view["id"]]
            case _:
                return {}

    async def _replays(self, view: View) -> list[View]:
        """Return the runs that repeat a run, newest first: replays, and retries of its letter."""
        waiting = Selection(subscription_id=view["subscriptionId"], statuses=(RunStatus.QUEUED,))
        known = await self._lists.accepted(waiting)
        accepted = [run for run in known if run.replay_of == view["id"]]
        replays = Selection(replay_of=view["id"])
        runs = with_accepted(await self._lists.runs(replays), accepted, replays)
        return [{"id": run.id, "status": run.status.value} for run in runs]

    async def _tasks_of_run(self, run_id: str) -> list[View]:
        """Return the tasks of a run; those at work or with a failure with their attempts."""
        tasks = await self._objects.tasks(Selection(run_id=run_id, limit=None))
        troubled = [
            task["id"]
            for task in tasks
            if task["attempts"] > 1 or task["code"] or task["status"] in {"pending", "running"}
        ]
        histories = await task_histories(self._lists, troubled)
        found = {key: view for key, view in histories.items() if any(view.values())}
        return [{**task, **found.get(task["id"], {})} for task in tasks]

    async def _verdicts_and_runs(self, event_id: str) -> View:
        """Return the verdicts on an event, and the runs that it started, oldest first."""
        verdicts = await self._ports.events.verdicts([event_id])
        owners = {verdict.subscription_id for verdict in verdicts}
        names = {owner: (await self._catalog.find_subscription(owner)).name for owner in owners}
        run_ids = {
            verdict: run_id for verdict in verdicts if (run_id := verdict.run_id) is not None
        }
        runs = await self._lists.runs_of(list(run_ids.values()))
        return {
            "verdicts": [
                verdict_view(verdict, names[verdict.subscription_id], run_ids.get(verdict))
                for verdict in verdicts
            ],
            "runs": [run_view(run) for run in sorted(runs, key=lambda run: run.created_at)],
        }
