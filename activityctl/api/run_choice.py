"""Which runs a request for many concerns."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends

from activityctl.api.choosing import (
    All,
    DryRun,
    Labels,
    Limit,
    Several,
    cut,
    operated,
    require_chosen,
)
from activityctl.api.sight import Sight
from activityctl.domain.runs.run import Run
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.selection import parse_labels
from activityctl.domain.values.time_range import parse_moment

Choose = Callable[[Choice], Awaitable[list[Run]]]


class RunChoice:
    """Which runs a request concerns, if its body names none."""

    def __init__(
        self,
        subscription: str | None = None,
        label: Labels = [],  # noqa: B006  # FastAPI copies it
        status: Several = [],  # noqa: B006  # FastAPI copies it
        since: str | None = None,
        *,
        has_all: All = False,
        limit: Limit = 1_000,
        dry_run: DryRun = False,
    ) -> None:
        self.subscription = subscription
        self.labels = parse_labels(label)
        self.statuses = tuple(status)
        self.since = parse_moment(since, datetime.now(UTC)) if since else None
        self.has_all = has_all
        self.limit = limit
        self.is_dry = dry_run

    async def runs(
        self, sight: Sight, ids: Sequence[str], choose: Choose
    ) -> tuple[list[Run], bool]:
        """Return the runs, the oldest first, and whether there are more than the limit.

        Of filters, those that the caller may operate; of ids, all that it may see. `choose` reads
        what the filters select.
        """
        filters = (self.subscription, self.labels, self.statuses, self.since)
        require_chosen(ids, any(filters), self.has_all)
        ports = sight.ports
        if ids:
            named = [(await sight.run(each))[0] for each in ids]
            return list({run.id: run for run in named}.values()), False
        named_owner = self.subscription
        choice = Choice(
            subscription=(await sight.subscription(named_owner)).id if named_owner else None,
            labels=self.labels,
            statuses=self.statuses,
            since=self.since,
            has_all=self.has_all,
        )
        found = await choose(choice)
        mine = await operated(ports, sight.caller)
        return cut(found, lambda run: mine is None or run.subscription_id in mine, self.limit)


Runs = Annotated[RunChoice, Depends()]
