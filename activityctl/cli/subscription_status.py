"""Change the status of a subscription and report it, for `pause` and `resume`."""

from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session
from activityctl.domain.manifests.subscription import OperatorStatus
from activityctl.operations.runs.actions import change_status, log_status_change
from activityctl.wiring import Ports


def set_status(
    session: Session,
    reference: str,
    status: OperatorStatus,
    done: str,
    *,
    reason: str | None = None,
    catch_up: bool = False,
) -> None:
    """Set the status, log the change, and print `done` or that the status was so already."""

    async def work(ports: Ports) -> bool:
        clock = await server_clock(ports)
        owner = await ports.catalog.find_subscription(reference)
        is_changed = await change_status(
            ports.catalog, owner, status, clock(), reason=reason, catch_up=catch_up
        )
        if is_changed:
            actor = session.origin.actor
            await log_status_change(
                ports.logbook, owner, status, clock(), actor=actor, reason=reason, catch_up=catch_up
            )
        return is_changed

    changed = session.with_ports(work)
    session.out.print(f"subscription/{reference} {done if changed else 'unchanged'}")
