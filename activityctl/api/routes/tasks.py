"""What people do with what waits for them: complete a task, retry or discard a dead letter."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from activityctl.api.answers import json_response, tagged_response
from activityctl.api.auditing import recorded
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_body
from activityctl.api.routes.waiting import WaitSeconds, ended_after
from activityctl.api.sight import Sight
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.dead_letter import LetterRequest
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.errors import UsageError
from activityctl.operations.runs.complete import complete, require_waiting
from activityctl.operations.runs.letter_view import letter_view, outcome_view
from activityctl.operations.runs.letters import Act, act_on, letter_details, require_done
from activityctl.wiring import Ports

router = APIRouter()


class CompleteBody(Manifest):
    """The answer of a person: one of the two."""

    output: JsonValue = Field(default=None, description="The output of the task.")
    fail: str | None = Field(default=None, description="Let the task fail, for this reason.")


class RetryBody(Manifest):
    """How a dead letter is retried."""

    new_revision: bool = Field(
        default=False, description="Use the definition and params as they are now."
    )
    new_keys: bool = Field(default=False, description="Give tasks new idempotency keys.")
    reason: str | None = None


class DiscardBody(Manifest):
    """Why a dead letter needs no retry."""

    reason: str


async def _details(request: Request, letter_id: str, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    letter, _ = await Sight(ports, caller).letter(letter_id)
    found = await letter_details(ports.catalog, ports.run_lists, ports.letters, letter)
    return tagged_response(request, letter_view(found))


@router.get(
    "/deadletters/{letter_id}/details",
    tags=["dead letters"],
    summary="Show all that belongs to a dead letter",
    response_class=Response,
)
async def show_details(answer: Annotated[Response, Depends(_details)]) -> Response:
    """Show a dead letter with its run, tasks, attempts and what was done, as `dlq show` does."""
    return answer


async def _complete(request: Request, task_id: str, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    task, owner = await sight.task(task_id)
    async with recorded(request, caller, "complete", f"task/{task.id}") as details:
        sight.require_operates(owner)
        body = await read_body(request, CompleteBody)
        has_output = "output" in body.model_fields_set
        if has_output == (body.fail is not None):
            raise UsageError("an answer has either output or fail", hint='send {"output": {}}')
        if body.fail is not None and not body.fail.strip():
            raise UsageError("fail is empty", hint="say why the task fails")
        require_waiting(task)
        done = await complete(ports.waits, task, Answer(body.output, body.fail, caller.name))
        given = done.given
        outcome = "completed" if given.answer.error is None else "failed"
        details["outcome"] = outcome if given.is_new else "unchanged"
    view = {
        "id": task.id,
        "run": task.run_id,
        "outcome": details["outcome"],
        "completedBy": given.answer.by,
        "completedAt": format_timestamp(given.at),
    }
    return json_response(view)


@router.post(
    "/tasks/{task_id}/complete",
    tags=["tasks"],
    summary="Complete a task that waits for a person",
    response_class=Response,
    openapi_extra=body_of(CompleteBody, {"output": {"verdict": "approve"}}),
)
async def complete_task(answer: Annotated[Response, Depends(_complete)]) -> Response:
    """Complete a task: its run goes on. The same answer again changes nothing.

    409 if the task has another answer, or has ended.
    """
    return answer


async def _act(
    request: Request, reference: str, caller: Known, action: str, body: type[Manifest]
) -> tuple[dict[str, object], str | None, Subscription]:
    """Retry or discard a letter; return the outcome's view, the run of a retry, and whose it is."""
    ports: Ports = request.app.state.ports
    sight = Sight(ports, caller)
    letter, owner = await sight.letter(reference)
    async with recorded(request, caller, action, f"deadletter/{letter.id}") as details:
        sight.require_operates(owner)
        given = await read_body(request, body)
        asked = LetterRequest(caller.name, **given.model_dump())
        if isinstance(given, DiscardBody) and not given.reason.strip():
            raise UsageError("reason is empty", hint="say why the letter needs no retry")
        act: Act = ports.letters.retry if action == "retry" else ports.letters.discard
        now = await ports.workers.server_time()
        outcomes = await act_on(act, [letter], asked, lambda: now)
        require_done([letter], outcomes)
        details["run"] = outcomes[0].run_id
    return outcome_view(outcomes[0], {}), outcomes[0].run_id, owner


async def _retry(
    request: Request, letter_id: str, caller: Known, wait: WaitSeconds = 0
) -> Response:
    view, run_id, owner = await _act(request, letter_id, caller, "retry", RetryBody)
    location = {"Location": f"/v1/runs/{run_id}"}
    if not wait or run_id is None:
        return json_response(view, 202, location)
    run = await ended_after(request, run_id, owner, wait)
    return json_response({**view, "status": run["status"]}, headers=location)


@router.post(
    "/deadletters/{letter_id}/retry",
    tags=["dead letters"],
    summary="Retry a dead letter",
    response_class=Response,
    openapi_extra=body_of(RetryBody, {"reason": "the server is back", "newRevision": True}),
)
async def retry(answer: Annotated[Response, Depends(_retry)]) -> Response:
    """Start a new run from the task that failed: 202 with the id of the run.

    With `?wait=SECONDS`, the answer comes once the run has ended, with its status. A letter is
    retried once: a repeat is 409 and says which run the first one started.
    """
    return answer


async def _discard(request: Request, letter_id: str, caller: Known) -> Response:
    view, _, _ = await _act(request, letter_id, caller, "discard", DiscardBody)
    return json_response(view)


@router.post(
    "/deadletters/{letter_id}/discard",
    tags=["dead letters"],
    summary="Close a dead letter without a retry",
    response_class=Response,
    openapi_extra=body_of(DiscardBody, {"reason": "paid by hand"}),
)
async def discard(answer: Annotated[Response, Depends(_discard)]) -> Response:
    """Close a dead letter; the failed run and the reason are kept. A repeat is 409."""
    return answer
