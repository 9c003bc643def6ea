"""Many subscriptions or runs at once, by ids or by filters: pause, resume and cancel them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from activityctl.api.auditing import recorded_unless_dry
from activityctl.api.choosing import (
    All,
    Chosen,
    DryRun,
    Labels,
    Limit,
    Several,
    counts,
    cut,
    many_answer,
    require_chosen,
)
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_body
from activityctl.api.routes.subscriptions import PauseBody, ResumeBody
from activityctl.api.run_choice import Runs
from activityctl.api.sight import Sight
from activityctl.domain.access.caller import Caller
from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    Subscription,
    SubscriptionStatus,
)
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.selection import parse_labels
from activityctl.operations.looking.choose import choose_runs, choose_subscriptions
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.runs.actions import cancel, change_status, log_status_change
from activityctl.operations.runs.many import REFUSED, Outcome, act_on_each, outcome_view
from activityctl.wiring import Ports

router = APIRouter()
_USUAL_RUNS: Final = (RunStatus.QUEUED, RunStatus.RUNNING)
_OPEN_RUNS: Final = (*_USUAL_RUNS, RunStatus.CANCELLING)
_LIVE: Final = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED)


class PauseMany(PauseBody, Chosen):
    """Which subscriptions are paused, and why."""


class ResumeMany(ResumeBody, Chosen):
    """Which subscriptions are resumed, and how."""


class SubscriptionChoice:
    """Which subscriptions a request concerns, if its body names none."""

    def __init__(
        self,
        label: Labels = [],
        status: Several = [],
        *,
        has_all: All = False,
        limit: Limit = 1_000,
        dry_run: DryRun = False,
    ) -> None:
        self.choice = Choice(labels=parse_labels(label), statuses=tuple(status), has_all=has_all)
        self.limit = limit
        self.is_dry = dry_run


Subscriptions = Annotated[SubscriptionChoice, Depends()]


async def _change(
    request: Request,
    caller: Caller,
    chosen: SubscriptionChoice,
    body: type[PauseMany] | type[ResumeMany],
) -> Response:
    """Pause or resume the subscriptions that are named, or that the filters select."""
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    is_pause = body is PauseMany
    verb, done = ("pause", "paused") if is_pause else ("resume", "resumed")
    wanted: OperatorStatus = SubscriptionStatus.PAUSED if is_pause else SubscriptionStatus.ACTIVE
    recording = recorded_unless_dry(
        request, caller, f"{verb} many", "subscriptions", is_dry=chosen.is_dry
    )
    async with recording as details:
        sight.require_operates_something()
        given = await read_body(request, body)
        require_chosen(given.ids, chosen.choice.has_filter, chosen.choice.has_all)
        mine, has_more = await _subscriptions(sight, given.ids, chosen, is_pause=is_pause)
        if chosen.is_dry:
            views = await ObjectViews(ports).subscription_views(mine)
            return many_answer(views, has_more=has_more, is_dry=True)
        options: dict[str, Any] = {
            "reason": given.reason if isinstance(given, PauseMany) else None,
            "catch_up": isinstance(given, ResumeMany) and given.catch_up,
        }

        async def act(owner: Subscription) -> Outcome:
            sight.require_operates(owner)
            now: datetime = await ports.workers.server_time()
            is_changed = await change_status(ports.catalog, owner, wanted, now, **options)
            if is_changed:
                await log_status_change(
                    ports.logbook, owner, wanted, now, actor=caller.name, **options
                )
            return Outcome(owner.id, owner.name, done if is_changed else "unchanged")

        outcomes = await act_on_each(
            mine, act, lambda owner, error: Outcome(owner.id, owner.name, REFUSED, error)
        )
        views = [outcome_view(each) for each in outcomes]
        details.update(counts(views))
    return many_answer(views, has_more=has_more, is_dry=False)


async def _subscriptions(
    sight: Sight, ids: Sequence[str], chosen: SubscriptionChoice, *, is_pause: bool
) -> tuple[list[Subscription], bool]:
    """Return the subscriptions of a request, and whether there are more than its limit."""
    if ids:
        named = [await sight.subscription(each) for each in ids]
        return list({owner.id: owner for owner in named}.values()), False
    usual = SubscriptionStatus.ACTIVE if is_pause else SubscriptionStatus.PAUSED
    found = await choose_subscriptions(sight.ports.catalog, chosen.choice, _LIVE, (usual,))
    caller = sight.caller
    return cut(found, lambda each: caller.may_operate(each.name, each.labels), chosen.limit)


async def _pause(request: Request, caller: Known, chosen: Subscriptions) -> Response:
    return await _change(request, caller, chosen, PauseMany)


@router.post(
    "/subscriptions/pause",
    tags=["subscriptions"],
    summary="Pause many subscriptions",
    response_class=Response,
    openapi_extra=body_of(PauseMany, {"reason": "the database moves"}),
)
async def pause(answer: Annotated[Response, Depends(_pause)]) -> Response:
    """Pause the subscriptions with these labels, as `pause -l` does; one outcome for each.

    Those that the token may not operate are left out; among `ids` they are refused.
    """
    return answer


async def _resume(request: Request, caller: Known, chosen: Subscriptions) -> Response:
    return await _change(request, caller, chosen, ResumeMany)


@router.post(
    "/subscriptions/resume",
    tags=["subscriptions"],
    summary="Resume many subscriptions",
    response_class=Response,
    openapi_extra=body_of(ResumeMany, {"catchUp": True}),
)
async def resume(answer: Annotated[Response, Depends(_resume)]) -> Response:
    """Resume the subscriptions with these labels, as `resume -l` does; one outcome for each."""
    return answer


async def _cancel(request: Request, caller: Known, chosen: Runs) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    recording = recorded_unless_dry(request, caller, "cancel many", "runs", is_dry=chosen.is_dry)

    async def choose(choice: Choice) -> list[Run]:
        return await choose_runs(ports.catalog, ports.run_lists, choice, _OPEN_RUNS, _USUAL_RUNS)

    async def act(run: Run) -> Outcome:
        sight.require_operates(await ports.catalog.find_subscription(run.subscription_id))
        now = await ports.workers.server_time()
        done = await cancel(ports.runs, ports.run_lists, run.id, now)
        return Outcome(run.id, run.id, done.status.value if done.has_ended else "cancelling")

    async with recording as details:
        sight.require_operates_something()
        given = await read_body(request, Chosen)
        mine, has_more = await chosen.runs(sight, given.ids, choose)
        if chosen.is_dry:
            return many_answer([run_view(run) for run in mine], has_more=has_more, is_dry=True)
        outcomes = await act_on_each(
            mine, act, lambda run, error: Outcome(run.id, run.id, REFUSED, error)
        )
        views = [outcome_view(each) for each in outcomes]
        details.update(counts(views))
    return many_answer(views, has_more=has_more, is_dry=False)


@router.post(
    "/runs/cancel",
    tags=["runs"],
    summary="Cancel many runs",
    response_class=Response,
    openapi_extra=body_of(Chosen, {"ids": []}),
)
async def cancel_runs(answer: Annotated[Response, Depends(_cancel)]) -> Response:
    """Cancel the runs that have not ended and that the filters select, as `cancel -l` does.

    The oldest come first. Those that the token may not operate are left out; among `ids` they are
    refused.
    """
    return answer
