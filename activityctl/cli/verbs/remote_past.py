"""The verbs that run what is past, by the HTTP API."""

import asyncio
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.remote.client import ApiClient
from activityctl.adapters.remote.models import moment_of
from activityctl.adapters.remote.stores import segment
from activityctl.cli.verbs.past import ShownReplay
from activityctl.cli.verbs.verbs import OnProgress
from activityctl.domain.runs.backfill import Backfill, BackfillChoice
from activityctl.domain.values.ids import SubscriptionId
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import WaitTimeoutError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.events.replay_preview import ReplayRequest
from activityctl.operations.runs.backfill import BackfillRequest, StartedBackfill
from activityctl.operations.runs.backfill_view import ShownBackfill

_DRY: Final = {"dryRun": "true"}
_WAIT: Final = 20.0
"""How long one request may wait for the dispatcher."""


@frozen_dataclass
class RemotePast:
    """Sends each verb to the API."""

    api: ApiClient

    async def preview_backfill(self, subscription: str, request: BackfillRequest) -> ShownBackfill:
        """Find the nominal times to run."""
        body = _body(request)
        view = await self.api.post(_path(subscription), body, params=_DRY, is_harmless=True)
        left_out = tuple((moment_of(each["dueAt"]), each["reason"]) for each in view["leftAlone"])
        return ShownBackfill(
            subscription,
            Backfill(
                SubscriptionId(view["subscriptionId"]),
                view["trigger"],
                request.first,
                request.last,
                view["maxParallel"],
            ),
            BackfillChoice(tuple(map(moment_of, view["firings"])), left_out),
            request.only_missed,
            view["timezone"],
            moment_of(view["subscriptionCreatedAt"]),
        )

    async def start_backfill(self, shown: ShownBackfill) -> StartedBackfill:
        """Store the backfill; the times to run are chosen again. A repeat adds nothing."""
        wanted = shown.backfill
        request = BackfillRequest(
            wanted.trigger, wanted.first, wanted.last, shown.only_missed, wanted.max_parallel
        )
        path = _path(wanted.subscription_id)
        view = await self.api.post(path, _body(request), is_harmless=True)
        followed = frozenset(map(moment_of, view["followed"]))
        return StartedBackfill(wanted, shown.choice, view["added"], followed)

    async def preview_replay(
        self, request: ReplayRequest, at: datetime, on_progress: OnProgress
    ) -> ShownReplay:
        """Return what routing archived events again would start."""
        del at, on_progress
        return ShownReplay(await self._replay(request, _DRY))

    async def route_again(
        self,
        request: ReplayRequest,
        shown: ShownReplay,
        seconds: float | None,
        on_progress: OnProgress,
    ) -> int:
        """Route the events again, in as many requests as it takes: a repeat adds none twice."""
        loop = asyncio.get_running_loop()
        deadline = None if seconds is None else loop.time() + seconds
        total: int = 0
        while True:
            left = _WAIT if deadline is None else max(min(deadline - loop.time(), _WAIT), 0.0)
            answer = await self._replay(request, {"wait": f"{left:g}"})
            total += int(answer["recorded"])
            if answer["isComplete"]:
                on_progress(shown.view["events"], shown.view["events"])
                return total
            if deadline is not None and loop.time() >= deadline:
                raise WaitTimeoutError(
                    "the dispatcher did not start all firings in time; "
                    f"{count_noun(total, 'firing is', 'firings are')} stored",
                    hint="activityctl status; then repeat the command: no event runs twice",
                )

    async def _replay(self, request: ReplayRequest, params: dict[str, str]) -> Any:
        query = request.query
        body = {
            "id": request.replay,
            "since": query.since.isoformat(),
            "until": query.until.isoformat(),
            "types": list(query.types),
            "sources": list(query.sources),
            "subscription": request.subscription,
            "allSubscriptions": request.subscription is None,
            "trigger": request.trigger,
        }
        answer = await self.api.ask(
            "POST", "/v1/events/replay", body, params=params, is_harmless=True, seconds=_WAIT * 2
        )
        return answer.value


def _path(subscription: str) -> str:
    return f"/v1/subscriptions/{segment(subscription)}/backfill"


def _body(request: BackfillRequest) -> dict[str, Any]:
    return {
        "trigger": request.trigger,
        "since": request.first.isoformat(),
        "until": request.last.isoformat(),
        "onlyMissed": request.only_missed,
        "maxParallel": request.max_parallel,
    }
