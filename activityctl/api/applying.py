"""What the paths share that change objects: the clock, and the wait for schedules."""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import Depends, Query, Request, Response

from activityctl import wiring
from activityctl.api.answers import json_response
from activityctl.api.inputs import LONGEST_WAIT
from activityctl.api.outages import stored_before, through_outages
from activityctl.api.refusals import PreconditionFailedError
from activityctl.api.repeats import REPEATED
from activityctl.api.standing import Standing
from activityctl.domain.gitops.answered import RequestKey
from activityctl.domain.gitops.applyset import shorten_list
from activityctl.domain.gitops.plan import Action, Plan
from activityctl.domain.values.json_form import View
from activityctl.domain.values.model import JsonValue
from activityctl.errors import OutdatedPlanError
from activityctl.operations.gitops.apply import Applied, wait_for_schedules
from activityctl.operations.gitops.once import Done, once
from activityctl.wiring import Ports

REPEAT: Final[Mapping[str, JsonValue]] = {"repeat": True}
"""What the audit says about a request that came before."""
_STORED: Final = "the change is stored, and whether Temporal has its schedules is not known yet"


class ScheduleWait:
    """How long to wait until Temporal has the schedules that a request changes."""

    def __init__(
        self,
        *,
        wait: Annotated[
            float,
            Query(
                ge=0, le=LONGEST_WAIT, description="wait so many seconds for Temporal's schedules"
            ),
        ] = 0,
        wait_without_worker: Annotated[
            bool, Query(alias="waitWithoutWorker", description="wait also if no worker is alive")
        ] = False,
    ) -> None:
        self.seconds = wait
        self.without_worker = wait_without_worker

    async def answer(
        self, request: Request, done: Done, view: Callable[[Applied], View]
    ) -> Response:
        """Return the answer: what was changed, and which schedules are not updated yet.

        The wait goes on after an outage. TokenEndedError if the caller's token ends meanwhile,
        OutcomeUnknownError in an outage that lasts.
        """
        ports: Ports = request.app.state.ports
        standing: Standing = request.app.state.standing

        async def wait(left: float) -> Applied:
            return await wait_for_schedules(
                done.plan,
                ports.register,
                ports.workers,
                timeout_seconds=left,
                wait_without_worker=self.without_worker,
            )

        with stored_before(_STORED, "activityctl get schedules"):
            waiting = through_outages(wait, self.seconds)
            applied = await standing.while_allowed(request, None, waiting)
        return json_response(view(applied), headers=REPEATED if done.is_repeat else None)


Clock = Callable[[], datetime]
Waiting = Annotated[ScheduleWait, Depends()]


async def changed_once(
    request: Request,
    asked: RequestKey | None,
    work: Callable[[Clock], Awaitable[Plan]],
    preview: View | None = None,
) -> Done:
    """Return the plan that `work` carries out, or what it was when the request came before.

    One at a time: each holds a connection while it waits for the lock of the catalog.
    """
    ports: Ports = request.app.state.ports
    clock = await _clock_of(ports)
    async with request.app.state.changes:
        with wiring.evaluating():
            return await once(ports.catalog, asked, clock, lambda: work(clock), preview)


async def _clock_of(ports: Ports) -> Clock:
    """Ask Postgres for the time once; return a clock that goes on from there."""
    asked_at = await ports.workers.server_time()
    began = time.monotonic()
    return lambda: asked_at + timedelta(seconds=time.monotonic() - began)


def outdated(error: OutdatedPlanError) -> PreconditionFailedError:
    """Return the answer for If-Match with the tag of a plan that does not fit any more."""
    return PreconditionFailedError(error.message, hint="plan again, and review it")


def audit_details(done: Done) -> dict[str, JsonValue]:
    """Return what the audit says about a plan: the first names of each kind of change."""
    if done.is_repeat:
        return dict(REPEAT)
    changed: dict[str, list[str]] = {}
    for change in done.plan.changes:
        if change.action is not Action.UNCHANGED:
            label = f"{change.kind.lower()}/{change.name}"
            changed.setdefault(change.action.value, []).append(label)
    return {action: shorten_list(labels) for action, labels in changed.items()}
