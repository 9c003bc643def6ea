"""The verbs that run what is past: due times, and archived events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from activityctl.cli.verbs.verbs import OnProgress
from activityctl.domain.values.json_form import View
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.events.replay_preview import ReplayPreview, ReplayRequest
from activityctl.operations.runs.backfill import BackfillRequest, StartedBackfill
from activityctl.operations.runs.backfill_view import ShownBackfill
from activityctl.wiring import Ports, RemotePorts


@frozen_dataclass
class ShownReplay:
    """What a replay of events would start now."""

    view: View
    found: ReplayPreview | None = None
    """What has found it, if that was here."""

    @property
    def new(self) -> int:
        """The number of runs that it would start."""
        triggers: Sequence[View] = self.view["triggers"]
        return sum(trigger["new"] for trigger in triggers)


class PastVerbs(Protocol):
    """Operations on what is past."""

    async def preview_backfill(self, subscription: str, request: BackfillRequest) -> ShownBackfill:
        """Find the nominal times to run."""
        ...

    async def start_backfill(self, shown: ShownBackfill) -> StartedBackfill:
        """Store the backfill; the times to run are chosen again."""
        ...

    async def preview_replay(
        self, request: ReplayRequest, at: datetime, on_progress: OnProgress
    ) -> ShownReplay:
        """Return what routing archived events again would start."""
        ...

    async def route_again(
        self,
        request: ReplayRequest,
        shown: ShownReplay,
        seconds: float | None,
        on_progress: OnProgress,
    ) -> int:
        """Route the events again and return the number of new firings.

        WaitTimeoutError when the time is up; without it, nobody is waited for.
        """
        ...


def past_of(ports: Ports) -> PastVerbs:
    """Return the verbs by the API if that is what was opened, else by Postgres."""
    if isinstance(ports, RemotePorts):
        from activityctl.cli.verbs.remote_past import RemotePast

        return RemotePast(ports.api)
    from activityctl.cli.verbs.local_past import LocalPast

    return LocalPast(ports)
