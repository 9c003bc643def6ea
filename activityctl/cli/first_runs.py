"""Show the first run of the applied manifests, so that the user of `up -f` sees that they work."""

import asyncio

from activityctl.cli.render.output import styled
from activityctl.cli.session import Session, now
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.trigger import trigger_of
from activityctl.domain.values.selection import Selection
from activityctl.wiring import Ports

_LONGEST_WAIT = 12.0
"""Seconds; a user does not want to wait longer for the first run."""


def show_first_run(session: Session, plan: Plan) -> None:
    """Wait for the first firing of the plan's schedules and print its run.

    Do nothing if the firing is not due soon, or if no run ends in time.
    """
    due = _seconds_to_first(plan)
    if due is None or due > _LONGEST_WAIT:
        return

    async def first(ports: Ports) -> Run | None:
        async with asyncio.timeout(due + 5):
            while True:
                for run in await ports.run_lists.runs(Selection(limit=5)):
                    if run.has_ended and run.subscription in plan.subscriptions:
                        return run
                await asyncio.sleep(0.2)

    try:
        with session.status(f"waiting for the first run, due in {due:.0f}s"):
            run = session.with_ports(first)
    except TimeoutError:
        return
    if run is not None:
        session.out.print(f"first run: {run.subscription}", styled(run.status.value))
        session.out.print(f"to follow its log: activityctl logs {run.subscription} --follow")


def _seconds_to_first(plan: Plan) -> float | None:
    start = now()
    first_times = (
        next(nominal_times(trigger_of(schedule.kind, schedule.body), start), None)
        for schedules in plan.schedules.values()
        for schedule in schedules
    )
    return min(((due - start).total_seconds() for due in first_times if due), default=None)
