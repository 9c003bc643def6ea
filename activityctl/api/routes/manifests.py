"""Manifests: validate, plan and apply them, as the commands of these names do."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from activityctl import wiring
from activityctl.api.answers import json_response
from activityctl.api.applying import (
    Clock,
    Waiting,
    audit_details,
    changed_once,
    outdated,
)
from activityctl.api.auditing import recorded
from activityctl.api.identity import Known
from activityctl.api.manifest_input import (
    YAML,
    ManifestFiles,
    Options,
    Sent,
    checked,
    sent_manifests,
)
from activityctl.api.object_tags import wanted_tag
from activityctl.api.repeats import GivenKey, request_key
from activityctl.api.sight import Sight
from activityctl.domain.access.caller import Caller
from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Plan, Wanted
from activityctl.domain.gitops.reach import EVERYTHING, Reach
from activityctl.domain.gitops.trigger_impact import impact_view
from activityctl.domain.values.json_form import list_view
from activityctl.domain.values.untrusted import escape_line
from activityctl.errors import (
    ActivityctlError,
    InvalidManifestsError,
    OutdatedPlanError,
    UsageError,
)
from activityctl.operations.gitops.apply import store
from activityctl.operations.gitops.credentials import with_credentials
from activityctl.operations.gitops.json_form import applied_view, validation_view
from activityctl.operations.gitops.load import load_manifests
from activityctl.operations.gitops.plan import Planned, differing, plan_of_files, wanted_of
from activityctl.operations.gitops.plan_impact import (
    EventRange,
    compare_with_events,
    event_range,
)
from activityctl.operations.gitops.saved_plan import SavedPlan, save
from activityctl.operations.gitops.validate import validate
from activityctl.ports import ManifestSource
from activityctl.wiring import Ports

router = APIRouter(prefix="/manifests", tags=["manifests"])
_LOG = logging.getLogger(__name__)
_MOST_EVENTS: Final = 20_000
"""With how many stored events a plan is compared; others are served meanwhile."""
_TEXT: Final = """\
apiVersion: activityctl/v1
kind: Calendar
metadata:
  name: holidays
spec:
  days: ["2027-01-01"]
"""
Given = Annotated[Options, Depends()]
DryRun = Annotated[bool, Query(alias="dryRun", description="store nothing, and return the plan")]


def _body(*, saved: bool = False) -> dict[str, Any]:
    """Return what OpenAPI says about the body."""
    schema: dict[str, Any] = ManifestFiles.model_json_schema()
    examples: dict[str, Any] = {
        "files": {"value": {"files": [{"name": "holidays.yaml", "content": _TEXT}]}}
    }
    if saved:
        plan = {"type": "object", "description": "The answer of `plan?save=true`."}
        schema = {"anyOf": [schema, {**plan, "properties": {"kind": {"const": "SavedPlan"}}}]}
    content = {
        "application/json": {"schema": schema, "examples": examples},
        YAML[0]: {"schema": {"type": "string"}, "example": _TEXT},
    }
    return {"requestBody": {"content": content, "required": True}}


async def _validate(request: Request, caller: Known) -> Response:
    Sight(request.app.state.ports, caller).require_validates()
    async with sent_manifests(request) as sent:
        validation = await checked(
            request,
            sent,
            lambda source: validate(source, (), wiring.known_kinds(), recursive=True),
        )
    if validation.problems:
        raise InvalidManifestsError(validation.problems)
    return json_response(validation_view(validation))


@router.post(
    "/validate",
    summary="Check manifests",
    response_class=Response,
    openapi_extra=_body(),
)
async def check(answer: Annotated[Response, Depends(_validate)]) -> Response:
    """Check manifests by themselves, without the stored objects, as `validate` does.

    400 if there are problems: `findings` lists all of them with file, line and column.
    """
    return answer


async def _loaded(
    request: Request, sent: Sent, given: Options, *, may_be_empty: bool
) -> tuple[ManifestSet, Wanted]:
    """Return the manifests, and what is wanted with them by the options or the saved plan."""

    def load(source: ManifestSource) -> ManifestSet:
        return load_manifests(
            source, (), wiring.known_kinds(), recursive=True, may_be_empty=may_be_empty
        )

    manifests = await checked(request, sent, load)
    options: dict[str, Any] = {
        "applyset": given.applyset,
        "prune": given.prune,
        "take_over": given.take_over,
        "allow_empty": given.allow_empty,
    }
    if sent.saved is not None:
        if given.are_given:
            raise UsageError("a saved plan has its own options", hint="send it without others")
        options = {name: getattr(sent.saved.wanted, name) for name in options}
    return manifests, wanted_of(manifests, **options, unread=sent.unread)


async def _planned(
    request: Request, manifests: ManifestSet, wanted: Wanted, reach: Reach
) -> Planned:
    """Return the plan, with the secrets and keys that this machine has or lacks."""
    ports: Ports = request.app.state.ports
    now = await ports.workers.server_time()
    with wiring.evaluating():
        planned = await plan_of_files(
            manifests, wanted, ports.catalog, ports.run_lists, lambda: now, reach=reach
        )
    return await asyncio.to_thread(_with_credentials, request, planned, manifests)


def _with_credentials(request: Request, planned: Planned, manifests: ManifestSet) -> Planned:
    settings = request.app.state.settings
    try:
        secrets = {secret.name for secret in wiring.open_secrets(settings).known()}
        return with_credentials(planned, manifests, secrets, wiring.open_keys(settings).known)
    except ActivityctlError as error:  # a plan is of use without them
        _LOG.error("secrets or keys cannot be listed: %s", escape_line(str(error)))
        return planned


async def _plan(
    request: Request,
    caller: Known,
    given: Given,
    *,
    since: Annotated[
        str | None, Query(description="compare changed event triggers with stored events: `7d`")
    ] = None,
    until: str | None = None,
    is_saved: Annotated[
        bool, Query(alias="save", description="return a plan that `apply` takes as its body")
    ] = False,
) -> Response:
    sight = Sight(request.app.state.ports, caller)
    sight.require_validates()
    events = event_range(since, until, datetime.now(UTC))
    if events is not None:
        sight.require_all("events")
    async with sent_manifests(request) as sent:
        manifests, wanted = await _loaded(request, sent, given, may_be_empty=given.prune)
        may_apply = caller.may_apply(wanted.applyset) or not caller.reads_all
        reach = Reach(caller) if may_apply else EVERYTHING
        planned = await _planned(request, manifests, wanted, reach)
    if events is not None:
        planned = await _compared(request.app.state.ports, planned, events)
    fingerprint = await asyncio.to_thread(lambda: planned.fingerprint)
    tag = {"ETag": f'"{fingerprint}"'}
    if is_saved:
        saving = partial(save, planned, wanted, given.source_commit, fingerprint=fingerprint)
        text = await asyncio.to_thread(saving)
        return Response(text, 200, tag, media_type="application/json")
    return json_response(planned.view, headers=tag)


async def _compared(ports: Ports, planned: Planned, events: EventRange) -> Planned:
    impact = await compare_with_events(
        ports.archive, planned.plan, planned.present, events, most=_MOST_EVENTS
    )
    return replace(planned, view={**planned.view, "againstEvents": impact_view(impact)})


@router.post(
    "/plan",
    summary="Show what apply would change",
    response_class=Response,
    openapi_extra=_body(),
)
async def plan(answer: Annotated[Response, Depends(_plan)]) -> Response:
    """Show what `apply` would change, as `plan -o json` does.

    `apply` with the `ETag` of this answer in `If-Match` does only what was shown, else nothing.
    """
    return answer


async def _diff(request: Request, caller: Known, given: Given) -> Response:
    ports: Ports = request.app.state.ports
    Sight(ports, caller).require_validates()
    async with sent_manifests(request) as sent:
        manifests, wanted = await _loaded(request, sent, given, may_be_empty=given.prune)
        reach = EVERYTHING if caller.reads_all else Reach(caller)
        now = await ports.workers.server_time()
        with wiring.evaluating():
            planned = await plan_of_files(
                manifests,
                replace(wanted, take_over=True),
                ports.catalog,
                ports.run_lists,
                lambda: now,
                reach=reach,
            )
    found = differing(planned.plan, planned.present)
    return json_response(
        list_view({"name": name, "live": live, "wanted": new} for name, live, new in found)
    )


@router.post(
    "/diff",
    summary="Compare manifests with the stored objects",
    response_class=Response,
    openapi_extra=_body(),
)
async def compare(answer: Annotated[Response, Depends(_diff)]) -> Response:
    """Return the objects that differ from their manifests, both documents whole, as `diff` does.

    Literal credentials are left out; where both documents are equal, only these differ.
    """
    return answer


async def _apply(
    request: Request,
    caller: Known,
    given: Given,
    waiting: Waiting,
    key: GivenKey,
    *,
    dry_run: DryRun = False,
) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    if dry_run:
        sight.require_applies()
        async with sent_manifests(request) as sent:
            loaded = await _loaded(request, sent, given, may_be_empty=given.prune)
            return json_response((await _planned(request, *loaded, Reach(caller))).view)
    async with recorded(request, caller, "apply") as details:
        sight.require_applies()
        async with sent_manifests(request) as sent:
            manifests, wanted = await _loaded(request, sent, given, may_be_empty=given.allow_empty)
            details["applyset"] = wanted.applyset
            origin = given.origin(caller)
            saved = sent.saved
            if saved is not None and saved.knows_commit:
                origin = replace(origin, source_commit=saved.source_commit)
            asked = request_key(request, caller.name, key, sent.body)
        work = partial(_store, request, caller, (manifests, wanted), origin, saved)
        done = await changed_once(request, asked, work)
        details.update(audit_details(done))
    return await waiting.answer(request, done, applied_view)


async def _store(
    request: Request,
    caller: Caller,
    what: tuple[ManifestSet, Wanted],
    origin: Origin,
    saved: SavedPlan | None,
    clock: Clock,
) -> Plan:
    """Store what is wanted, if the plan that was reviewed still fits: a saved one, or If-Match."""
    made_against = wanted_tag(request) if saved is None else saved.fingerprint
    catalog = request.app.state.ports.catalog
    try:
        return await store(
            *what, catalog, clock, origin, made_against=made_against, reach=Reach(caller)
        )
    except OutdatedPlanError as error:
        if saved is None:
            raise outdated(error) from error
        raise


@router.post(
    "/apply",
    summary="Apply manifests",
    response_class=Response,
    openapi_extra=_body(saved=True),
)
async def apply(answer: Annotated[Response, Depends(_apply)]) -> Response:
    """Change the stored objects to match the manifests, all or none, as `apply` does.

    The answer comes after the commit. With `?wait=SECONDS`, it comes once Temporal has the
    schedules; `schedules` says how many it does not have yet, and why. A repeat changes nothing.
    With `?dryRun=true`, nothing is stored, and the answer is the plan.
    """
    return answer
