"""The stores that commands read, over HTTP; what they do not have says so, with exit code 2."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import quote

from activityctl.adapters.remote.client import ApiClient, Params
from activityctl.adapters.remote.models import (
    letter_of,
    moment_of,
    run_of,
    subscription_of,
    task_of,
    verdict_of,
    worker_of,
)
from activityctl.domain.events.emit_note import EmitNote
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.events.stored_event import EmitOutcome, Verdict
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.accepted import ACCEPTED
from activityctl.domain.runs.backfill import Backfill, BackfillProgress
from activityctl.domain.runs.dead_letter import ANY_LETTER, DeadLetter, LetterFilter
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.runs.worker import COUNTS_AS_ALIVE, WorkerBeat
from activityctl.domain.values.ids import EventId, canonical_json
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotAllowedError, NotFoundError, RefusedError, UsageError
from activityctl.ports import GivenAnswer

MOST: Final = 1_000
"""So many objects has a list of the API at most."""
_AT_ONCE: Final = 8
_UNKNOWN: Final = "unknown"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Found = TypeVar("Found")


def segment(text: str) -> str:
    """Return a name as one segment of a path."""
    return quote(text, safe="")


def not_here(what: str) -> UsageError:
    """Return the error for what only the database has."""
    return UsageError(
        f"{what} does not work over HTTP",
        hint="run it on a machine that reaches the database, without --server and "
        "ACTIVITYCTL_SERVER: activityctl guide remote-commands",
    )


class _Store:
    """A store of which only a part is served."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise not_here("this")


async def listed(
    api: ApiClient, kind: str, params: Params, limit: int | None
) -> tuple[list[View], bool]:
    """Return the objects of a list, page by page, and whether there are more.

    RefusedError if more than one page is wanted of a list that has only one.
    """
    found: list[View] = []
    cursor: str | None = None
    while True:
        left = MOST if limit is None else min(limit - len(found), MOST)
        page = {**params, "limit": max(1, left), "cursor": cursor}
        answer = await api.get(f"/v1/{kind}", page)
        found += answer["items"]
        has_more: bool = answer["metadata"]["hasMore"]
        if not has_more or (limit is not None and len(found) >= limit):
            return found, has_more
        cursor = answer["metadata"].get("next")
        if cursor is None:
            raise RefusedError(
                f"the server lists {MOST:,} {kind} at once, and there are more",
                hint=f"choose fewer: -s, -l, --status, --since, or --limit {MOST}",
            )


def params_of(selection: Selection) -> dict[str, Any]:
    """Return the conditions as parameters of a list."""
    return {
        "name": selection.name,
        "subscription": selection.subscription_id,
        "run": selection.run_id,
        "status": selection.statuses,
        "since": format_timestamp(selection.since),
        "until": format_timestamp(selection.until),
        "type": selection.types,
        "source": selection.sources,
        "label": [f"{key}={value}" for key, value in selection.labels.items()],
        "assignee": selection.assignee,
        "notReplayed": "true" if selection.are_last else None,
    }


class RemoteCatalog(_Store):
    """Subscriptions."""

    async def find_subscription(self, reference: str) -> Subscription:
        """Return the subscription with this name, id or beginning of an id."""
        return subscription_of(await self._api.get(f"/v1/subscriptions/{segment(reference)}"))

    async def subscriptions(self, selection: Selection) -> list[Subscription]:
        """Return the selected subscriptions, by name."""
        limit = selection.limit
        views, _ = await listed(self._api, "subscriptions", params_of(selection), limit)
        return [subscription_of(view) for view in views]


class RemoteRunLists(_Store):
    """Runs and tasks."""

    async def find_run(self, reference: str) -> Run:
        """Return the run, or the accepted firing, with this id or beginning of an id."""
        answer = await self._api.get("/v1/runs", {"run": reference, "limit": 1})
        if not answer["items"]:
            raise NotFoundError("run", reference, hint="activityctl get runs")
        return run_of(answer["items"][0])

    async def runs(self, selection: Selection) -> list[Run]:
        """Return the selected runs, newest first, and accepted firings among them.

        With the id of a run, only the run itself.
        """
        if selection.run_id is not None:
            found = await self._of_id(selection.run_id)
            return [] if found is None or _is_accepted(found) else [found]
        views, _ = await listed(self._api, "runs", params_of(selection), selection.limit)
        return [run_of(view) for view in views]

    async def accepted(self, selection: Selection) -> list[Run]:
        """Return the firing with the id of a run, or those that wait beside the last runs.

        Of other selections nothing, because `runs` has them.
        """
        if selection.are_last:
            queued = replace(selection, statuses=(RunStatus.QUEUED,), are_last=False)
            return [run for run in await self.runs(queued) if _is_accepted(run)]
        found = None if selection.run_id is None else await self._of_id(selection.run_id)
        return [found] if found is not None and _is_accepted(found) else []

    async def _of_id(self, run_id: str) -> Run | None:
        try:
            return await self.find_run(run_id)
        except NotFoundError:
            return None

    async def runs_of(self, run_ids: Sequence[str]) -> list[Run]:
        """Return the runs with these ids; those that do not exist are left out."""
        found = await _each(run_ids, self._of_id)
        return [run for run in found if run is not None and not _is_accepted(run)]

    async def tasks(self, selection: Selection) -> list[TaskInstance]:
        """Return the selected tasks."""
        views, _ = await listed(self._api, "tasks", params_of(selection), selection.limit)
        return [task_of(view) for view in views]

    async def dead_letters(
        self, selection: Selection, letters: LetterFilter = ANY_LETTER
    ) -> list[DeadLetter]:
        """Return the selected letters, newest first.

        With a name, the one letter with this id or of this run. AmbiguousError if it means several.
        """
        if selection.name is not None:
            try:
                path = f"/v1/deadletters/{segment(selection.name)}/details"
                return [letter_of(await self._api.get(path))]
            except NotFoundError:
                return []
        wanted = {"definition": letters.definition, "task": letters.task, "error": letters.error}
        params = {**params_of(selection), **wanted}
        views, _ = await listed(self._api, "deadletters", params, selection.limit)
        return [letter_of(view) for view in views]


def _is_accepted(run: Run) -> bool:
    """Return whether this is a firing that is no run yet."""
    is_queued = run.status is RunStatus.QUEUED and run.started_at is None
    return is_queued and (run.reason or "").startswith(ACCEPTED)


class RemoteWorkers(_Store):
    """Which workers are alive."""

    async def alive(self, within: timedelta = COUNTS_AS_ALIVE) -> list[WorkerBeat]:
        """Return the living workers; one that is unknown if the token may not see them."""
        del within
        try:
            answer = await self._api.get("/v1/workers")
        except NotAllowedError:
            return [WorkerBeat(_UNKNOWN, _UNKNOWN, 0, _UNKNOWN, _EPOCH)]
        return [worker_of(view) for view in answer["items"]]

    async def server_time(self) -> datetime:
        """Return the time of this machine: the server dates what it stores by its own."""
        return datetime.now(UTC)

    async def require_space(self) -> None:
        """Do nothing: the server refuses what it has no room for."""


class RemoteBackfills(_Store):
    """Backfills: how far they are, and to cancel what waits."""

    async def progress(self, wanted: Backfill, also: Collection[datetime]) -> BackfillProgress:
        """Return how far the firings of the backfill are."""
        body = {
            "trigger": wanted.trigger,
            "since": wanted.first.isoformat(),
            "until": wanted.last.isoformat(),
            "followed": [moment.isoformat() for moment in sorted(also)],
        }
        path = f"/v1/subscriptions/{segment(wanted.subscription_id)}/backfill/progress"
        answer = await self._api.post(path, body, is_harmless=True)
        counts, unreleased = answer["progress"], answer["neverReleased"]
        runs = {status: counts.get(status.value, 0) for status in RunStatus}
        runs[RunStatus.CANCELLED] -= unreleased
        return BackfillProgress(counts["held"], unreleased, counts["starting"], runs)

    async def cancel(self, subscription_id: str, trigger: str | None) -> int:
        """Stop the release of all held firings; return how many."""
        path = f"/v1/subscriptions/{segment(subscription_id)}/backfill/cancel"
        answer = await self._api.post(path, {"trigger": trigger})
        count: int = answer["cancelled"]
        return count


class RemoteWaits(_Store):
    """Tasks that wait for people."""

    async def answer(self, task_id: str, answer: Answer) -> GivenAnswer:
        """Record the answer; return the one on record. ConflictError if that is another one."""
        body = {"fail": answer.error} if answer.error is not None else {"output": answer.output}
        done = await self._api.post(
            f"/v1/tasks/{segment(task_id)}/complete",
            body,
            is_harmless=True,  # the same answer again changes nothing
        )
        by = Answer(answer.output, answer.error, done["completedBy"])
        return GivenAnswer(by, moment_of(done["completedAt"]), done["outcome"] != "unchanged")


async def _each(items: Sequence[str], ask: Callable[[str], Awaitable[Found]]) -> list[Found]:
    """Ask for each of the items, several at once; return the answers in order."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(item: str) -> Found:
        async with places:
            return await ask(item)

    return await asyncio.gather(*map(one, items))


class RemoteEvents(_Store):
    """Events: to store them, and to see what came of them."""

    def __init__(self, api: ApiClient) -> None:
        super().__init__(api)
        self._verdicts: dict[str, list[Verdict]] = {}

    async def add(
        self,
        events: Sequence[EventEnvelope],
        note: EmitNote | None = None,  # noqa: ARG002  # the server keeps its audit itself
    ) -> list[EmitOutcome]:
        """Store the events, and return the outcome of each, in order.

        A time that was added here is left out: the server adds it, and so it does not count when
        it compares events. NotAllowedError if the token may not store one of them.
        """
        lines = [canonical_json(_without_added_time(event)).encode() for event in events]
        is_filled = any("time" in event.filled for event in events)
        answer = await self._api.post(
            "/v1/events",
            params={"fill": "time"} if is_filled else None,
            content=b"\n".join(lines),
            media_type="application/x-ndjson",
            is_harmless=True,  # an event is stored once
        )
        outcomes = [EmitOutcome(item["outcome"]) for item in answer["items"]]
        for item, outcome in zip(answer["items"], outcomes, strict=True):
            if outcome is EmitOutcome.INVALID:
                stored = len(outcomes) - outcomes.count(EmitOutcome.INVALID)
                raise NotAllowedError(
                    f"{item['reason']}; {stored:,} of the {len(outcomes):,} events that were sent "
                    "with it are stored",
                    hint="use a token with the scope emit for it: activityctl guide http-api",
                )
        return outcomes

    async def unrouted(self, event_ids: Sequence[str]) -> list[EventId]:
        """Return those of the events that are not routed yet."""
        views = await _each(event_ids, lambda uid: self._api.get(f"/v1/events/{segment(uid)}"))
        waiting = []
        for uid, view in zip(event_ids, views, strict=True):
            if view["routedAt"] is None:
                waiting.append(EventId(uid))
            else:
                self._verdicts[uid] = [verdict_of(EventId(uid), each) for each in view["verdicts"]]
        return waiting

    async def verdicts(self, event_ids: Sequence[str]) -> list[Verdict]:
        """Return what the events meant to triggers; `unrouted` has read it."""
        return [verdict for uid in event_ids for verdict in self._verdicts.get(uid, ())]


def _without_added_time(event: EventEnvelope) -> dict[str, JsonValue]:
    added = {"time"}.intersection(event.filled)
    return {name: value for name, value in event.document.items() if name not in added}
