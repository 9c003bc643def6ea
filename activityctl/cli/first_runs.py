"""After `up -f`: the first run that the applied manifests lead to, so that one sees it work."""

import asyncio

from activityctl.cli.render.output import styled
from activityctl.cli.session import Session, now
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.due_times import nominal_times
from activityctl.domain.timing.trigger import trigger_of
from activityctl.domain.values.selection import Selection
from activityctl.wiring import Ports

_PATIENCE = 12.0


def show_first_runs(session: Session, plan: Plan) -> None:
    """Wait for the first due firing of the plan when it is near, and show its run."""
    due = _seconds_to_first(plan)
    if due is None or due > _PATIENCE:
        return

    async def first(ports: Ports) -> Run | None:
        async with asyncio.timeout(due + 5):
            while True:
                for run in await ports.run_lists.runs(Selection(limit=5)):
                    if run.has_ended and run.subscription in plan.subscriptions:
                        return run
                await asyncio.sleep(0.2)

    try:
        with session.err.status(f"first firing in {due:.0f}s"):
            run = session.with_ports(first)
    except TimeoutError:
        return
    if run is not None:
        session.out.print(f"first run: {run.subscription}", styled(run.status.value))
        session.out.print(f"follow it: activityctl logs {run.subscription} --follow")


def _seconds_to_first(plan: Plan) -> float | None:
    start = now()
    first = (
        next(nominal_times(trigger_of(schedule.kind, schedule.body), start), None)
        for schedules in plan.schedules.values()
        for schedule in schedules
    )
    return min(((due - start).total_seconds() for due in first if due), default=None)
