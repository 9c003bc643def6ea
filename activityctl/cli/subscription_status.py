"""Change the status of subscriptions and report it, for `pause` and `resume`."""

from collections.abc import Mapping, Sequence

import typer

from activityctl.cli.many import (
    confirmed,
    many_progress,
    print_outcomes,
    split_statuses,
)
from activityctl.cli.session import Session
from activityctl.cli.verbs.choose import verbs_of
from activityctl.cli.verbs.verbs import Change
from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    Subscription,
    SubscriptionStatus,
)
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.json_form import View
from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.choose import choose_subscriptions
from activityctl.operations.runs.many import UNCHANGED, Outcome
from activityctl.wiring import Ports


@frozen_dataclass
class StatusChange:
    """What `pause` or `resume` was told to do."""

    verb: str
    status: OperatorStatus
    done: str
    """The word for a subscription that was changed."""
    reason: str | None = None
    catch_up: bool = False
    paused_for: str | None = None
    """Only subscriptions whose reason of the pause has this text."""

    def choice(
        self,
        names: Sequence[str],
        labels: Mapping[str, str],
        statuses: Sequence[str],
        has_all: bool,  # an option of the command
    ) -> Choice:
        """Return the choice of these options; `--paused-for` alone selects, too."""
        if names and self.paused_for:
            raise UsageError("names and filters cannot be combined", hint="give one of them")
        everything = has_all or bool(self.paused_for)
        return Choice(
            tuple(names), labels=labels, statuses=split_statuses(statuses), has_all=everything
        )

    @property
    def usual(self) -> SubscriptionStatus:
        """The status of the subscriptions that it changes."""
        is_pause = self.status is SubscriptionStatus.PAUSED
        return SubscriptionStatus.ACTIVE if is_pause else SubscriptionStatus.PAUSED


def change_statuses(
    session: Session,
    change: StatusChange,
    choice: Choice,
    shape: str,
    *,
    dry_run: bool,  # these are options of the commands
    yes: bool,
) -> None:
    """Set the status of the chosen subscriptions, log each change and tell what was done."""
    asks = not choice.is_by_name

    async def read(ports: Ports) -> tuple[list[Subscription], list[View]]:
        allowed = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED)
        found = await choose_subscriptions(ports.catalog, choice, allowed, (change.usual,))
        found = [each for each in found if (change.paused_for or "") in (each.pause_reason or "")]
        shows = asks or dry_run
        return found, await verbs_of(session, ports).subscription_views(found) if shows else []

    chosen, views = session.with_ports(read)
    options = {"dry_run": dry_run, "yes": yes, "asks": asks}
    if (asks or dry_run) and not confirmed(
        session, "subscriptions", views, change.verb, shape=shape, **options
    ):
        return

    async def act(ports: Ports) -> list[Outcome]:
        return await _act(session, ports, change, chosen, is_single=not asks and len(chosen) == 1)

    outcomes = session.with_ports(act)
    print_outcomes(session, "subscriptions", outcomes, shape, each=not asks)
    if any(outcome.is_refused for outcome in outcomes):
        raise typer.Exit(1)


async def _act(
    session: Session,
    ports: Ports,
    change: StatusChange,
    chosen: Sequence[Subscription],
    *,
    is_single: bool,
) -> list[Outcome]:
    verbs = verbs_of(session, ports)
    wanted = Change(change.status, change.done, change.reason, change.catch_up)
    if is_single:
        owner = chosen[0]
        is_changed = await verbs.change_status(owner, wanted)
        return [Outcome(owner.id, owner.name, change.done if is_changed else UNCHANGED)]
    hint = "activityctl get subscriptions"
    with many_progress(session, "subscriptions", change.done, hint) as show:
        return await verbs.change_each(chosen, wanted, show)
