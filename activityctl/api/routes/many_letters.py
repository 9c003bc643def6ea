"""Many dead letters at once, by ids or by filters: retry and discard them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from activityctl.api.auditing import recorded_unless_dry
from activityctl.api.choosing import (
    All,
    Chosen,
    DryRun,
    Labels,
    Limit,
    counts,
    cut,
    many_answer,
    operated,
    require_chosen,
)
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_body
from activityctl.api.routes.tasks import DiscardBody, RetryBody
from activityctl.api.sight import Sight
from activityctl.domain.access.caller import Caller
from activityctl.domain.runs.dead_letter import DeadLetter, LetterFilter, LetterRequest
from activityctl.domain.runs.json_form import dead_letter_view
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection, parse_labels
from activityctl.domain.values.time_range import parse_moment
from activityctl.errors import UsageError
from activityctl.operations.runs.letter_view import outcome_view
from activityctl.operations.runs.letters import (
    Act,
    act_on,
    new_revision_changes,
    open_letters,
)
from activityctl.wiring import Ports

router = APIRouter(prefix="/deadletters", tags=["dead letters"])


class RetryMany(RetryBody, Chosen):
    """Which dead letters are retried, and how."""


class DiscardMany(DiscardBody, Chosen):
    """Which dead letters need no retry, and why."""


class LetterChoice:
    """Which open letters a request concerns, if its body names none."""

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
        self.has_filter = any((subscription, definition, task, error, since, *label))
        self.has_all = has_all
        self.subscription = subscription
        self.filter = LetterFilter(definition, task, error)
        self.since = parse_moment(since, datetime.now(UTC)) if since else None
        self.labels: Mapping[str, str] = parse_labels(label)
        self.limit = limit
        self.is_dry = dry_run

    async def letters(self, sight: Sight, ids: list[str]) -> tuple[list[DeadLetter], bool]:
        """Return the letters, and whether there are more than the limit.

        NotAllowedError for one of the ids that the caller may see, but not operate.
        """
        require_chosen(ids, self.has_filter, self.has_all)
        if ids:
            named: dict[str, DeadLetter] = {}
            for each in ids:
                letter, owner = await sight.letter(each)
                sight.require_operates(owner)
                named[letter.id] = letter
            return list(named.values()), False
        owner_name = self.subscription
        selection = Selection(
            subscription_id=(await sight.subscription(owner_name)).id if owner_name else None,
            since=self.since,
            labels=self.labels,
        )
        found = await open_letters(sight.ports.run_lists, selection, self.filter)
        mine = await operated(sight.ports, sight.caller)
        return cut(found, lambda each: mine is None or each.subscription_id in mine, self.limit)


Letters = Annotated[LetterChoice, Depends()]


async def _act(
    request: Request,
    caller: Caller,
    chosen: LetterChoice,
    body: type[RetryMany] | type[DiscardMany],
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    verb = "retry" if body is RetryMany else "discard"
    recording = recorded_unless_dry(
        request, caller, f"{verb} many", "deadletters", is_dry=chosen.is_dry
    )
    async with recording as details:
        sight.require_operates_something()
        given = await read_body(request, body)
        if isinstance(given, DiscardMany) and not given.reason.strip():
            raise UsageError("reason is empty", hint="say why the letters need no retry")
        mine, has_more = await chosen.letters(sight, given.ids)
        if chosen.is_dry:
            more: dict[str, object] = {}
            if isinstance(given, RetryMany) and given.new_revision:
                more["revisionChanges"] = await _changes(ports, mine)
            views = [dead_letter_view(each) for each in mine]
            return many_answer(views, has_more=has_more, is_dry=True, **more)
        act: Act = ports.letters.retry if verb == "retry" else ports.letters.discard
        now = await ports.workers.server_time()
        asked = LetterRequest(caller.name, **given.model_dump(exclude={"ids"}))
        outcomes = await act_on(act, mine, asked, lambda: now)
        views = [outcome_view(each, {}) for each in outcomes]
        details.update(counts(views))
    return many_answer(views, has_more=has_more, is_dry=False)


async def _changes(ports: Ports, letters: list[DeadLetter]) -> list[View]:
    """Return how the present revisions differ from those that failed."""
    found = await new_revision_changes(ports.catalog, ports.run_lists, letters)
    return [change.view for change in found]


async def _retry(request: Request, caller: Known, letters: Letters) -> Response:
    return await _act(request, caller, letters, RetryMany)


@router.post(
    "/retry",
    summary="Retry many dead letters",
    response_class=Response,
    openapi_extra=body_of(RetryMany, {"reason": "the server is back"}),
)
async def retry(answer: Annotated[Response, Depends(_retry)]) -> Response:
    """Retry the open letters that the filters select, the oldest first, as `dlq retry` does.

    With `?dryRun=true` and `newRevision`, `revisionChanges` says how the present tasks differ.
    """
    return answer


async def _discard(request: Request, caller: Known, letters: Letters) -> Response:
    return await _act(request, caller, letters, DiscardMany)


@router.post(
    "/discard",
    summary="Close many dead letters without a retry",
    response_class=Response,
    openapi_extra=body_of(DiscardMany, {"reason": "paid by hand"}),
)
async def discard(answer: Annotated[Response, Depends(_discard)]) -> Response:
    """Close the open letters that the filters select, as `dlq discard` does."""
    return answer
