"""The verbs that run what is past, by the ports of Postgres, in this process."""

from datetime import datetime

from activityctl.cli.server_time import server_clock
from activityctl.cli.verbs.past import ShownReplay
from activityctl.cli.verbs.verbs import OnProgress
from activityctl.domain.timing.misfires import timezone_of
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.events.replay_events import replay_archived_events
from activityctl.operations.events.replay_preview import (
    ReplayRequest,
    preview_replay,
    preview_view,
)
from activityctl.operations.runs.backfill import (
    BackfillRequest,
    StartedBackfill,
    preview_backfill,
    start_backfill,
)
from activityctl.operations.runs.backfill_view import ShownBackfill
from activityctl.wiring import Ports


@frozen_dataclass
class LocalPast:
    """Carries out each verb here."""

    ports: Ports

    async def preview_backfill(self, subscription: str, request: BackfillRequest) -> ShownBackfill:
        """Find the nominal times to run."""
        ports = self.ports
        owner = await ports.catalog.find_subscription(subscription)
        found = await preview_backfill(
            ports.catalog, ports.register, ports.backfills, owner, request
        )
        return ShownBackfill(
            subscription,
            found.backfill,
            found.choice,
            found.only_missed,
            timezone_of(found.trigger),
            found.existed_from,
            found,
        )

    async def start_backfill(self, shown: ShownBackfill) -> StartedBackfill:
        """Store the backfill; the times to run are chosen again."""
        assert shown.found is not None  # noqa: S101  # it was found here
        return await start_backfill(self.ports.backfills, shown.found)

    async def preview_replay(
        self, request: ReplayRequest, at: datetime, on_progress: OnProgress
    ) -> ShownReplay:
        """Return what routing archived events again would start."""
        ports = self.ports
        found = await preview_replay(
            ports.catalog, ports.events, ports.archive, request, at, on_progress=on_progress
        )
        return ShownReplay(preview_view(found), found)

    async def route_again(
        self,
        request: ReplayRequest,
        shown: ShownReplay,
        seconds: float | None,
        on_progress: OnProgress,
    ) -> int:
        """Route the events again and return the number of new firings."""
        assert shown.found is not None  # noqa: S101  # it was found here
        del request
        clock = await server_clock(self.ports)
        return await replay_archived_events(
            self.ports.archive,
            shown.found,
            clock(),
            timeout_seconds=seconds,
            on_progress=on_progress,
        )
