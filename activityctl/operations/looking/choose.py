"""Read the subscriptions or runs that a command acts on, by name or by filters."""

from collections.abc import Sequence
from dataclasses import replace

from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.accepted import with_accepted
from activityctl.domain.runs.run import Run
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.selection import Selection
from activityctl.errors import UsageError
from activityctl.operations.looking.filters import check_filters
from activityctl.operations.looking.kinds import Kind, name_of
from activityctl.ports import Catalog, RunLists


async def choose_subscriptions(
    catalog: Catalog,
    choice: Choice,
    allowed: Sequence[str],
    usual: Sequence[str] = (),
) -> list[Subscription]:
    """Return the subscriptions that are named, or those that the filters select, by name.

    Filters select only subscriptions of an allowed status; without a status they select those of
    a usual one, or of any allowed one. Raises what `Choice.check` raises, UsageError for a status
    that is not allowed, and NotFoundError or ConflictError for a name.
    """
    choice.check("subscription")
    if choice.is_by_name:
        names = [name_of(text, "subscriptions") for text in choice.names]
        found = [await catalog.find_subscription(name) for name in names]
        return list({subscription.id: subscription for subscription in found}.values())
    statuses = _statuses("subscriptions", choice, allowed, usual)
    return await catalog.subscriptions(
        Selection(labels=choice.labels, statuses=statuses, limit=choice.limit)
    )


async def choose_runs(
    catalog: Catalog,
    lists: RunLists,
    choice: Choice,
    allowed: Sequence[str],
    usual: Sequence[str] = (),
    *,
    are_last: bool = False,
) -> list[Run]:
    """Return the runs that are named, or those that the filters select, the oldest first.

    Firings that are no runs yet are among the queued ones. With `are_last`, the filters select no
    run that has a replay or a retry, even one that waits. The rules of statuses and the errors are
    those of `choose_subscriptions`.
    """
    choice.check("run", "ids")
    if choice.is_by_name:
        ids = [name_of(text, "runs") for text in choice.names]
        named = [await lists.find_run(each) for each in ids]
        return list({run.id: run for run in named}.values())
    reference = choice.subscription
    owner = await catalog.find_subscription(reference) if reference is not None else None
    selection = Selection(
        subscription_id=owner.id if owner else None,
        statuses=_statuses("runs", choice, allowed, usual),
        since=choice.since,
        labels=choice.labels,
        are_last=are_last,
        limit=None,
    )
    waiting = await lists.accepted(replace(selection, statuses=()))  # first: they may become runs
    accepted = [run for run in waiting if run.status in selection.statuses]
    newest_first = with_accepted(await lists.runs(selection), accepted, selection)
    replayed = {run.replay_of for run in waiting if are_last}
    return [run for run in newest_first[::-1] if run.id not in replayed][: choice.limit]


def _statuses(
    kind: Kind, choice: Choice, allowed: Sequence[str], usual: Sequence[str]
) -> tuple[str, ...]:
    check_filters(kind, replace(Selection(), statuses=choice.statuses))
    for status in choice.statuses:
        if status not in allowed:
            raise UsageError(
                f"this command does nothing with {kind} that are {status}",
                hint="use " + ", ".join(allowed),
            )
    return choice.statuses or tuple(usual) or tuple(allowed)
