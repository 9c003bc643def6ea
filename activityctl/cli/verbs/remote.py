"""The verbs by the HTTP API: it decides and records, and answers with the same JSON."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.remote.client import ApiClient
from activityctl.adapters.remote.models import entry_of, moment_of, moment_or_none, run_of
from activityctl.adapters.remote.problems import error_of
from activityctl.adapters.remote.stores import listed, params_of, segment
from activityctl.cli.verbs.verbs import Change, ListRequest, LogRequest, OnProgress, Watcher
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.preview import ExpectedOutcome, Occurrence
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.json_form import View
from activityctl.domain.values.log import LogEntry, LogFilter, parse_cursor
from activityctl.domain.values.model import JsonValue
from activityctl.errors import TooSlowError, UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.get import Page
from activityctl.operations.looking.kinds import Kind
from activityctl.operations.looking.upcoming import TimeRange, Upcoming
from activityctl.operations.runs.many import UNCHANGED, Outcome

_PAUSE: Final = 1.0
"""Seconds between two tries to reach a server that does not answer."""
_SHORT_PAUSE: Final = 0.2
_ASKS_EVERY: Final = 1.0
"""How often a follower asks whether it has ended."""
_PAGE: Final = 1_000
_AT_ONCE: Final = 100
"""So many objects a request changes."""


@frozen_dataclass
class RemoteVerbs:
    """Sends each verb to the API."""

    api: ApiClient

    async def page(self, request: ListRequest) -> Page:
        """Return the objects of a list; RefusedError if there are more than one answer has."""
        params = {
            **params_of(request.selection),
            "name": request.name,
            "subscription": request.subscription,
            "run": request.run,
        }
        limit = request.selection.limit
        views, has_more = await listed(self.api, request.kind, params, limit)
        return Page(views, has_more)

    async def subscription_views(self, chosen: list[Subscription]) -> list[View]:
        """Return the views of these subscriptions, as `get` lists them."""
        views, _ = await listed(self.api, "subscriptions", {}, None)
        by_id = {view["id"]: view for view in views}
        return [by_id[each.id] for each in chosen if each.id in by_id]

    async def describe(self, kind: Kind, reference: str, *, last: bool) -> View:
        """Return an object with all that belongs to it; with `last` the last run of it."""
        params = {"last": "true"} if last else {}
        if kind == "schedules" and "/" in reference:
            reference, _, params["trigger"] = reference.partition("/")
        view: View = await self.api.get(f"/v1/{kind}/{segment(reference)}", params)
        return {key: value for key, value in view.items() if key not in {"apiVersion", "kind"}}

    async def status(self) -> View:
        """Return what is at work and what needs attention, as `status -o json` shows it."""
        view: View = await self.api.get("/v1/status")
        return view

    async def upcoming(self, reference: str, time_range: TimeRange) -> Upcoming:
        """Return the next firings of a subscription."""
        answer = await self.api.get(
            f"/v1/subscriptions/{segment(reference)}/next",
            {
                "trigger": time_range.trigger,
                "since": _moment(time_range.first),
                "until": None if time_range.last is None else _moment(time_range.last),
                "limit": time_range.limit,
            },
        )
        return Upcoming(
            answer["subscription"],
            tuple(map(_occurrence, answer["items"])),
            tuple(answer["notes"]),
            answer["metadata"]["hasMore"],
        )

    async def trigger(
        self,
        owner: Subscription,
        trigger_name: str | None,
        key: str | None,
        payload: Mapping[str, JsonValue],
    ) -> RunId:
        """Store a request for a run; return its id. A repeat after a lost answer adds no second."""
        answer = await self.api.post(
            f"/v1/subscriptions/{segment(owner.id)}/trigger",
            {"trigger": trigger_name, "payload": payload, "key": key},
            key=str(uuid.uuid4()) if key is None else None,
            is_harmless=True,
        )
        return RunId(answer["id"])

    async def cancel(self, run_id: RunId) -> Run:
        """Request the cancellation of a run."""
        return run_of(await self.api.post(f"/v1/runs/{segment(run_id)}/cancel"))

    async def change_status(self, owner: Subscription, change: Change) -> bool:
        """Pause or resume a subscription; return whether that changed it."""
        verb, body = _change(change)
        answer = await self.api.post(f"/v1/subscriptions/{segment(owner.id)}/{verb}", body)
        return bool(answer["outcome"] != UNCHANGED)

    async def cancel_each(self, run_ids: Sequence[RunId], on_progress: OnProgress) -> list[Outcome]:
        """Request the cancellation of the runs; return one outcome for each."""
        return await self._act("/v1/runs/cancel", {}, run_ids, on_progress)

    async def change_each(
        self, owners: Sequence[Subscription], change: Change, on_progress: OnProgress
    ) -> list[Outcome]:
        """Pause or resume the subscriptions; return one outcome for each, in the word of `done`."""
        verb, body = _change(change)
        ids = [owner.id for owner in owners]
        outcomes = await self._act(f"/v1/subscriptions/{verb}", body, ids, on_progress)
        done = "paused" if change.status is SubscriptionStatus.PAUSED else "resumed"
        return [
            replace(each, outcome=change.done) if each.outcome == done else each
            for each in outcomes
        ]

    async def _act(
        self, path: str, body: View, ids: Sequence[str], on_progress: OnProgress
    ) -> list[Outcome]:
        """Send some ids in each request."""
        outcomes: list[Outcome] = []
        for start in range(0, len(ids), _AT_ONCE):
            some = list(ids[start : start + _AT_ONCE])
            answer = await self.api.post(path, {**body, "ids": some})
            outcomes += [
                Outcome(each["id"], each["name"], each["outcome"], each["error"])
                for each in answer["items"]
            ]
            on_progress(len(outcomes), len(ids))
        return outcomes

    async def read_logs(self, request: LogRequest) -> AsyncIterator[LogEntry]:
        """Yield the entries that are there, the oldest first, page by page."""
        path, params = _log_path(request)
        left, position = request.tail, {"tail": request.tail}
        while left is None or left > 0:
            most = _PAGE if left is None else min(left, _PAGE)
            answer = await self.api.get(path, {**params, **position, "limit": most})
            for item in answer["items"]:
                yield _entry(request, item)
            left = None if left is None else left - len(answer["items"])
            if not answer["metadata"]["hasMore"]:
                return
            position = {"after": answer["metadata"]["cursor"]}

    async def follow_logs(self, request: LogRequest, watcher: Watcher) -> AsyncIterator[LogEntry]:
        """Yield the entries that are there and those that come, each exactly once.

        After a fault it goes on after the last entry: the server tells the position of each.
        TooSlowError if the search there takes too long.
        """
        path, params = _log_path(request)
        follower = _Follower(self.api, path, {**params, "tail": request.tail})
        is_out = False
        while not watcher.has_ended():
            try:
                async with aclosing(follower.blocks(watcher)) as blocks:
                    async for data in blocks:
                        if is_out:
                            is_out = False
                            watcher.on_outage(None)
                        if data is not None:
                            yield _entry(request, data, follower.last_id)
                await asyncio.sleep(_SHORT_PAUSE)  # the server stops, or is restarted
            except TooSlowError:
                raise
            except UnreachableError as error:
                if follower.last_id is None:
                    raise
                if not is_out:
                    watcher.on_outage(error)
                is_out = True
                await asyncio.sleep(_PAUSE)

    async def reaches_temporal(self) -> bool:
        """Return True: how the worker reaches Temporal is not known here."""
        return True


class _Follower:
    """One stream after the other, each from where the last one ended."""

    def __init__(self, api: ApiClient, path: str, params: Mapping[str, Any]) -> None:
        self.last_id: str | None = None
        self._api = api
        self._path = path
        self._params = params

    async def blocks(self, watcher: Watcher) -> AsyncGenerator[dict[str, Any] | None]:
        """Yield the data of each event, and None for what only shows that the stream lives.

        Ends when the server ends the stream, or when the watcher has ended. Raises the error with
        which the server says why it ends the stream.
        """
        async with self._api.stream(self._path, self._params, self.last_id) as lines:
            waiting: asyncio.Task[str] | None = None
            data = kind = ""
            try:
                while not watcher.has_ended():
                    waiting = waiting or asyncio.ensure_future(anext(lines))
                    if not (await asyncio.wait({waiting}, timeout=_ASKS_EVERY))[0]:
                        continue
                    try:
                        line = waiting.result()
                    except StopAsyncIteration:
                        return
                    waiting = None
                    name, _, value = line.partition(":")
                    if name == "id":
                        self.last_id = value.strip()
                    elif name == "event":
                        kind = value.strip()
                    elif name == "data":
                        data += value.strip()
                    elif not line:
                        yield _data_of(kind, data, self._api.url)
                        data = kind = ""
            finally:
                if waiting is not None:
                    waiting.cancel()
                    await asyncio.gather(waiting, return_exceptions=True)


def _data_of(kind: str, data: str, url: str) -> dict[str, Any] | None:
    """Return the data of an event; raise the error if it is a problem."""
    found: dict[str, Any] | None = json.loads(data) if data else None
    if kind == "problem" and found is not None:
        raise error_of(found["status"], found, url)
    return found


def _log_path(request: LogRequest) -> tuple[str, dict[str, Any]]:
    """Return the path of the log, and which of its entries are wanted."""
    wanted: LogFilter = request.wanted
    params = {
        "level": wanted.level,
        "grep": wanted.text,
        "task": wanted.task,
        "since": None if wanted.since is None else _moment(wanted.since),
        "until": None if wanted.until is None else _moment(wanted.until),
    }
    if wanted.run_id is not None:
        return f"/v1/runs/{segment(wanted.run_id)}/logs", params
    if request.labels is not None:
        labels = [f"{key}={value}" for key, value in request.labels.items()]
        return "/v1/logs", {**params, "label": labels}
    if len(wanted.subscription_ids) == 1:
        return f"/v1/subscriptions/{segment(wanted.subscription_ids[0])}/logs", params
    return "/v1/logs", {**params, "subscription": wanted.subscription_ids}


def _entry(request: LogRequest, item: Mapping[str, Any], cursor: str | None = None) -> LogEntry:
    request.names.setdefault(item["subscriptionId"], item["subscription"])
    return entry_of(item, None if cursor is None else parse_cursor(cursor))


def _occurrence(view: Mapping[str, Any]) -> Occurrence:
    return Occurrence(
        view["trigger"],
        moment_of(view["dueAt"]),
        datetime.fromisoformat(view["localTime"]),
        ExpectedOutcome.FIRES if view["firesAt"] else ExpectedOutcome.SKIPPED,
        moment_or_none(view["firesAt"]),
        view["note"],
    )


def _change(change: Change) -> tuple[str, View]:
    """Return the verb of a path, and its body."""
    if change.status is SubscriptionStatus.PAUSED:
        return "pause", {"reason": change.reason}
    return "resume", {"catchUp": change.catch_up}


def _moment(moment: datetime) -> str:
    """Return a time as the API reads it, to the microsecond."""
    return moment.isoformat()
