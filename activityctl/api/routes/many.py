"""Many objects at once, chosen by filters: pause, resume, cancel, retry and discard them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response

from activityctl.api.answers import json_response
from activityctl.api.auditing import recorded
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_body
from activityctl.api.routes.subscriptions import PauseBody, ResumeBody
from activityctl.api.routes.tasks import DiscardBody, RetryBody
from activityctl.api.sight import Sight
from activityctl.domain.access.caller import Caller
from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    Subscription,
    SubscriptionStatus,
)
from activityctl.domain.runs.dead_letter import LetterFilter, LetterRequest
from activityctl.domain.runs.json_form import dead_letter_view, run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.json_form import View, list_view
from activityctl.domain.values.model import Manifest
from activityctl.domain.values.selection import Selection, parse_labels
from activityctl.domain.values.time_range import parse_moment
from activityctl.errors import UsageError
from activityctl.operations.looking.choose import choose_runs, choose_subscriptions
from activityctl.operations.looking.read_ports import object_views
from activityctl.operations.runs.actions import cancel, change_status, log_status_change
from activityctl.operations.runs.letter_view import outcome_view as letter_outcome_view
from activityctl.operations.runs.letters import Act, act_on, open_letters
from activityctl.operations.runs.many import REFUSED, Outcome, act_on_each, outcome_view
from activityctl.wiring import Ports

router = APIRouter()
_USUAL_RUNS: Final = (RunStatus.QUEUED, RunStatus.RUNNING)
_OPEN_RUNS: Final = (*_USUAL_RUNS, RunStatus.CANCELLING)
_LIVE: Final = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED)
_ALL: Final = "a request without a filter needs all=true, so that nothing is changed by mistake"
Several = Annotated[list[str], Query()]
Labels = Annotated[list[str], Query(description="`key=value`")]
All = Annotated[bool, Query(alias="all", description="needed if there is no filter")]
DryRun = Annotated[bool, Query(alias="dryRun", description="change nothing, and list them")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="the most objects of one request")]
Item = TypeVar("Item")


def _cut(
    found: Sequence[Item], may_operate: Callable[[Item], bool], limit: int
) -> tuple[list[Item], bool]:
    """Return the first that the caller may operate, and whether there are more."""
    mine = [each for each in found if may_operate(each)]
    return mine[:limit], len(mine) > limit


async def _operated(ports: Ports, caller: Caller) -> frozenset[str] | None:
    """Return the ids of the subscriptions that the caller may operate; None for all of them."""
    if caller.is_admin:
        return None
    live = await ports.catalog.subscriptions(Selection(limit=None))
    return frozenset(each.id for each in live if caller.may_operate(each.name, each.labels))


def _answer(views: Sequence[View], *, has_more: bool, is_dry: bool) -> Response:
    listed = list_view(list(views), has_more=has_more)
    if is_dry:
        return json_response(listed)
    return json_response({**listed, "summary": _counts(views)})


def _counts(views: Sequence[View]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for view in views:
        counts[view["outcome"]] = counts.get(view["outcome"], 0) + 1
    return counts


async def _change(
    request: Request,
    caller: Caller,
    chosen: tuple[Sequence[str], Sequence[str], bool],
    limit: int,
    body: type[PauseBody] | type[ResumeBody],
    *,
    is_dry: bool,
) -> Response:
    """Pause or resume the subscriptions that the labels and the statuses select."""
    ports: Ports = request.app.state.ports
    Sight(ports, caller).require_operates_something()
    labels, statuses, has_all = chosen
    is_pause = body is PauseBody
    verb, done = ("pause", "paused") if is_pause else ("resume", "resumed")
    wanted: OperatorStatus = SubscriptionStatus.PAUSED if is_pause else SubscriptionStatus.ACTIVE
    usual = SubscriptionStatus.ACTIVE if is_pause else SubscriptionStatus.PAUSED
    choice = Choice(labels=parse_labels(labels), statuses=tuple(statuses), has_all=has_all)
    _require_chosen(choice.has_filter, has_all)
    given = await read_body(request, body)
    found = await choose_subscriptions(ports.catalog, choice, _LIVE, (usual,))
    mine, has_more = _cut(found, lambda each: caller.may_operate(each.name, each.labels), limit)
    if is_dry:
        views = await object_views(ports).subscription_views(mine)
        return _answer(views, has_more=has_more, is_dry=True)
    options: dict[str, Any] = {
        "reason": given.reason if isinstance(given, PauseBody) else None,
        "catch_up": isinstance(given, ResumeBody) and given.catch_up,
    }

    async def act(owner: Subscription) -> Outcome:
        now: datetime = await ports.workers.server_time()
        is_changed = await change_status(ports.catalog, owner, wanted, now, **options)
        if is_changed:
            await log_status_change(ports.logbook, owner, wanted, now, actor=caller.name, **options)
        return Outcome(owner.id, owner.name, done if is_changed else "unchanged")

    async with recorded(request, caller, f"{verb} many", "subscriptions") as details:
        outcomes = await act_on_each(
            mine, act, lambda owner, error: Outcome(owner.id, owner.name, REFUSED, error)
        )
        views = [outcome_view(each) for each in outcomes]
        details.update(_counts(views))
    return _answer(views, has_more=has_more, is_dry=False)


async def _pause(
    request: Request,
    caller: Known,
    label: Labels = [],
    status: Several = [],
    *,
    has_all: All = False,
    limit: Limit = 1_000,
    dry_run: DryRun = False,
) -> Response:
    chosen = (label, status, has_all)
    return await _change(request, caller, chosen, limit, PauseBody, is_dry=dry_run)


@router.post(
    "/subscriptions/pause",
    tags=["subscriptions"],
    summary="Pause many subscriptions",
    response_class=Response,
    openapi_extra=body_of(PauseBody, {"reason": "the database moves"}),
)
async def pause(answer: Annotated[Response, Depends(_pause)]) -> Response:
    """Pause the subscriptions with these labels, as `pause -l` does; one outcome for each.

    Those that the token may not operate are left out.
    """
    return answer


async def _resume(
    request: Request,
    caller: Known,
    label: Labels = [],
    status: Several = [],
    *,
    has_all: All = False,
    limit: Limit = 1_000,
    dry_run: DryRun = False,
) -> Response:
    chosen = (label, status, has_all)
    return await _change(request, caller, chosen, limit, ResumeBody, is_dry=dry_run)


@router.post(
    "/subscriptions/resume",
    tags=["subscriptions"],
    summary="Resume many subscriptions",
    response_class=Response,
    openapi_extra=body_of(ResumeBody, {"catchUp": True}),
)
async def resume(answer: Annotated[Response, Depends(_resume)]) -> Response:
    """Resume the subscriptions with these labels, as `resume -l` does; one outcome for each."""
    return answer


async def _cancel(
    request: Request,
    caller: Known,
    subscription: str | None = None,
    label: Labels = [],
    status: Several = [],
    since: str | None = None,
    *,
    has_all: All = False,
    limit: Limit = 1_000,
    dry_run: DryRun = False,
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    sight.require_operates_something()
    choice = Choice(
        subscription=(await sight.subscription(subscription)).id if subscription else None,
        labels=parse_labels(label),
        statuses=tuple(status),
        since=parse_moment(since, datetime.now(UTC)) if since else None,
        has_all=has_all,
    )
    _require_chosen(choice.has_filter, has_all)
    found = await choose_runs(ports.catalog, ports.run_lists, choice, _OPEN_RUNS, _USUAL_RUNS)
    operated = await _operated(ports, caller)
    mine, has_more = _cut(
        found, lambda run: operated is None or run.subscription_id in operated, limit
    )
    if dry_run:
        return _answer([run_view(run) for run in mine], has_more=has_more, is_dry=True)

    async def act(run: Run) -> Outcome:
        now = await ports.workers.server_time()
        done = await cancel(ports.runs, ports.run_lists, run.id, now)
        return Outcome(run.id, run.id, done.status.value if done.has_ended else "cancelling")

    async with recorded(request, caller, "cancel many", "runs") as details:
        outcomes = await act_on_each(
            mine, act, lambda run, error: Outcome(run.id, run.id, REFUSED, error)
        )
        views = [outcome_view(each) for each in outcomes]
        details.update(_counts(views))
    return _answer(views, has_more=has_more, is_dry=False)


@router.post("/runs/cancel", tags=["runs"], summary="Cancel many runs", response_class=Response)
async def cancel_runs(answer: Annotated[Response, Depends(_cancel)]) -> Response:
    """Cancel the runs that have not ended and that the filters select, as `cancel -l` does.

    The oldest come first. Those that the token may not operate are left out.
    """
    return answer


class LetterChoice:
    """Which open letters are chosen."""

    def __init__(
        self,
        subscription: str | None = None,
        definition: str | None = None,
        task: str | None = None,
        error: Annotated[str | None, Query(description="a part of the error")] = None,
        since: str | None = None,
        label: Labels = [],
        *,
        has_all: All = False,
        limit: Limit = 1_000,
        dry_run: DryRun = False,
    ) -> None:
        filters = (subscription, definition, task, error, since, *label)
        _require_chosen(any(filters), has_all)
        self.subscription = subscription
        self.filter = LetterFilter(definition, task, error)
        self.since = parse_moment(since, datetime.now(UTC)) if since else None
        self.labels: Mapping[str, str] = parse_labels(label)
        self.limit = limit
        self.is_dry = dry_run


Letters = Annotated[LetterChoice, Depends()]


async def _act(
    request: Request, caller: Caller, choice: LetterChoice, body: type[Manifest]
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    sight.require_operates_something()
    verb = "retry" if body is RetryBody else "discard"
    named = choice.subscription
    selection = Selection(
        subscription_id=(await sight.subscription(named)).id if named else None,
        since=choice.since,
        labels=choice.labels,
    )
    given = await read_body(request, body)
    if isinstance(given, DiscardBody) and not given.reason.strip():
        raise UsageError("reason is empty", hint="say why the letters need no retry")
    found = await open_letters(ports.run_lists, selection, choice.filter)
    operated = await _operated(ports, caller)
    mine, has_more = _cut(
        found, lambda each: operated is None or each.subscription_id in operated, choice.limit
    )
    if choice.is_dry:
        return _answer([dead_letter_view(each) for each in mine], has_more=has_more, is_dry=True)
    act: Act = ports.letters.retry if verb == "retry" else ports.letters.discard
    async with recorded(request, caller, f"{verb} many", "deadletters") as details:
        now = await ports.workers.server_time()
        asked = LetterRequest(caller.name, **given.model_dump())
        outcomes = await act_on(act, mine, asked, lambda: now)
        views = [letter_outcome_view(each, {}) for each in outcomes]
        details.update(_counts(views))
    return _answer(views, has_more=has_more, is_dry=False)


async def _retry(request: Request, caller: Known, letters: Letters) -> Response:
    return await _act(request, caller, letters, RetryBody)


@router.post(
    "/deadletters/retry",
    tags=["dead letters"],
    summary="Retry many dead letters",
    response_class=Response,
    openapi_extra=body_of(RetryBody, {"reason": "the server is back"}),
)
async def retry(answer: Annotated[Response, Depends(_retry)]) -> Response:
    """Retry the open letters that the filters select, the oldest first, as `dlq retry` does."""
    return answer


async def _discard(request: Request, caller: Known, letters: Letters) -> Response:
    return await _act(request, caller, letters, DiscardBody)


@router.post(
    "/deadletters/discard",
    tags=["dead letters"],
    summary="Close many dead letters without a retry",
    response_class=Response,
    openapi_extra=body_of(DiscardBody, {"reason": "paid by hand"}),
)
async def discard(answer: Annotated[Response, Depends(_discard)]) -> Response:
    """Close the open letters that the filters select, as `dlq discard` does."""
    return answer


def _require_chosen(has_filter: bool, has_all: bool) -> None:  # noqa: FBT001  # the two questions
    if not has_filter and not has_all:
        raise UsageError("nothing is chosen", hint=_ALL)
