"""Change the status of a subscription and report it, for `pause` and `resume`."""

from activityctl.cli.session import Session, now
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
        owner = await ports.catalog.find_subscription(reference)
        is_changed = await change_status(
            ports.catalog, owner, status, now(), reason=reason, catch_up=catch_up
        )
        if is_changed:
            actor = session.origin.actor
            await log_status_change(
                ports.logbook, owner, status, now(), actor=actor, reason=reason, catch_up=catch_up
            )
        return is_changed

    changed = session.with_ports(work)
    session.out.print(f"subscription/{reference} {done if changed else 'unchanged'}")
