"""The verbs by the ports of Postgres, in this process."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from activityctl import wiring
from activityctl.cli.reachability import reaches_temporal
from activityctl.cli.relayers import reading_relayers
from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session, now
from activityctl.cli.verbs.verbs import Change, ListRequest, LogRequest, OnProgress, Watcher
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.json_form import View
from activityctl.domain.values.log import LogEntry, LogFilter
from activityctl.domain.values.model import JsonValue
from activityctl.errors import NotFoundError
from activityctl.operations.looking.describe import describe
from activityctl.operations.looking.get import ObjectViews, Page
from activityctl.operations.looking.kinds import Kind
from activityctl.operations.looking.overview import overview
from activityctl.operations.looking.overview_view import overview_view
from activityctl.operations.looking.upcoming import TimeRange, Upcoming, upcoming
from activityctl.operations.runs.actions import cancel, change_status, log_status_change, trigger
from activityctl.operations.runs.follow_logs import follow_logs, read_logs
from activityctl.operations.runs.log_selection import LogSelection
from activityctl.operations.runs.many import REFUSED, UNCHANGED, Outcome, act_on_each
from activityctl.wiring import Ports


class LocalVerbs:
    """Carries out each verb here."""

    def __init__(self, session: Session, ports: Ports) -> None:
        self.session = session
        self.ports = ports
        self._clock: Callable[[], datetime] | None = None

    async def _now(self) -> datetime:
        """Return the time of Postgres, which is asked once."""
        self._clock = self._clock or await server_clock(self.ports)
        return self._clock()

    async def page(self, request: ListRequest) -> Page:
        """Return the objects of a list."""
        ports, owner, run = self.ports, request.subscription, request.run
        selection = replace(
            request.selection,
            subscription_id=(await ports.catalog.find_subscription(owner)).id if owner else None,
            run_id=(await ports.run_lists.find_run(run)).id if run else None,
        )
        views = ObjectViews(ports, reading_relayers(self.session.settings, ports))
        return await views.page(request.kind, request.name, selection)

    async def subscription_views(self, chosen: list[Subscription]) -> list[View]:
        """Return the views of these subscriptions, as `get` lists them."""
        return await ObjectViews(self.ports).subscription_views(chosen)

    async def describe(self, kind: Kind, reference: str, *, last: bool) -> View:
        """Return an object with all that belongs to it; its secrets with whether they are here."""
        relayers = reading_relayers(self.session.settings, self.ports)
        view = await describe(self.ports, kind, reference, last=last, relayers=relayers)
        return wiring.with_found_secrets(self.session.settings, view)

    async def status(self) -> View:
        """Return what is at work and what needs attention, without the processes."""
        ports = self.ports
        found = await overview(
            ports.catalog,
            ports.metrics,
            ports.events,
            ports.outbox,
            ports.workers,
            ports.stuck_runs,
            chains=ports.chains,
        )
        return overview_view(found)

    async def upcoming(self, reference: str, time_range: TimeRange) -> Upcoming:
        """Return the next firings of a subscription."""
        ports = self.ports
        return await upcoming(
            ports.catalog,
            ports.register,
            ports.outbox,
            reference,
            time_range,
            now(),
            chains=ports.chains,
        )

    async def trigger(
        self,
        owner: Subscription,
        trigger_name: str | None,
        key: str | None,
        payload: Mapping[str, JsonValue],
    ) -> RunId:
        """Store a request for a run; return its id."""
        firing = await trigger(
            self.ports.catalog,
            self.ports.outbox,
            owner,
            await self._now(),
            trigger_name=trigger_name,
            key=key,
            payload=payload,
        )
        return firing.ref.run_id

    async def cancel(self, run_id: RunId) -> Run:
        """Request the cancellation of a run."""
        ports = self.ports
        return await cancel(ports.runs, ports.run_lists, run_id, await self._now())

    async def change_status(self, owner: Subscription, change: Change) -> bool:
        """Pause or resume a subscription, and log it; return whether that changed it."""
        ports, moment, status = self.ports, await self._now(), change.status
        options: dict[str, Any] = {"reason": change.reason, "catch_up": change.catch_up}
        is_changed = await change_status(ports.catalog, owner, status, moment, **options)
        if is_changed:
            actor = self.session.origin.actor
            await log_status_change(ports.logbook, owner, status, moment, actor=actor, **options)
        return is_changed

    async def cancel_each(self, run_ids: Sequence[RunId], on_progress: OnProgress) -> list[Outcome]:
        """Request the cancellation of the runs; return one outcome for each."""

        async def request(run_id: RunId) -> Outcome:
            found = await self.cancel(run_id)
            return Outcome(run_id, run_id, found.status.value if found.has_ended else "cancelling")

        def refused(run_id: RunId, error: str) -> Outcome:
            return Outcome(run_id, run_id, REFUSED, error)

        return await act_on_each(run_ids, request, refused, on_progress=on_progress)

    async def change_each(
        self, owners: Sequence[Subscription], change: Change, on_progress: OnProgress
    ) -> list[Outcome]:
        """Pause or resume the subscriptions; return one outcome for each, in the word of `done`."""

        async def set_status(owner: Subscription) -> Outcome:
            is_changed = await self.change_status(owner, change)
            return Outcome(owner.id, owner.name, change.done if is_changed else UNCHANGED)

        def refused(owner: Subscription, error: str) -> Outcome:
            return Outcome(owner.id, owner.name, REFUSED, error)

        return await act_on_each(owners, set_status, refused, on_progress=on_progress)

    def read_logs(self, request: LogRequest) -> AsyncIterator[LogEntry]:
        """Yield the entries that are there, the oldest first."""
        return read_logs(self.ports.logbook, request.wanted, tail=request.tail)

    def follow_logs(self, request: LogRequest, watcher: Watcher) -> AsyncIterator[LogEntry]:
        """Yield the entries that are there and those that come, each exactly once."""
        selection = LogSelection(self.ports.catalog, self.ports.run_lists)

        async def ask_again() -> LogFilter:
            """Return the filter with the subscriptions that have the labels now."""
            with suppress(NotFoundError):
                found = (await selection.labelled(request.labels or {})).names
                request.names.update(found)
                return replace(request.wanted, subscription_ids=tuple(found))
            return request.wanted

        return follow_logs(
            self.ports.logbook,
            self.ports.signals,
            request.wanted,
            tail=request.tail,
            on_outage=watcher.on_outage,
            has_ended=watcher.has_ended,
            ask_again=None if request.labels is None else ask_again,
        )

    async def reaches_temporal(self) -> bool:
        """Return whether Temporal answers."""
        return await reaches_temporal(self.session)
