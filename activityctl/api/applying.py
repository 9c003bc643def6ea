"""What the paths share that change objects: the clock, and the wait for schedules."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query

from activityctl.api.inputs import LONGEST_WAIT
from activityctl.api.refusals import PreconditionFailedError
from activityctl.domain.gitops.applyset import shorten_list
from activityctl.domain.gitops.plan import Action, Plan
from activityctl.domain.values.model import JsonValue
from activityctl.errors import OutdatedPlanError
from activityctl.operations.gitops.apply import Applied, wait_for_schedules
from activityctl.wiring import Ports


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

    async def for_plan(self, ports: Ports, plan: Plan) -> Applied:
        """Return the plan that was carried out, and which of its schedules are not updated yet."""
        return await wait_for_schedules(
            plan,
            ports.register,
            ports.workers,
            timeout_seconds=self.seconds,
            wait_without_worker=self.without_worker,
        )


Waiting = Annotated[ScheduleWait, Depends()]


async def clock_of(ports: Ports) -> Callable[[], datetime]:
    """Ask Postgres for the time once; return a clock that goes on from there."""
    asked_at = await ports.workers.server_time()
    began = time.monotonic()
    return lambda: asked_at + timedelta(seconds=time.monotonic() - began)


def outdated(error: OutdatedPlanError) -> PreconditionFailedError:
    """Return the answer for If-Match with the tag of a plan that does not fit any more."""
    return PreconditionFailedError(error.message, hint="plan again, and review it")


def audit_details(plan: Plan) -> dict[str, JsonValue]:
    """Return what the audit says about a plan: the first names of each kind of change."""
    changed: dict[str, list[str]] = {}
    for change in plan.changes:
        if change.action is not Action.UNCHANGED:
            label = f"{change.kind.lower()}/{change.name}"
            changed.setdefault(change.action.value, []).append(label)
    return {action: shorten_list(labels) for action, labels in changed.items()}
