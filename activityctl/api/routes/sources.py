"""Web hooks: each event source has a path, and verifies its own requests; no token is needed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from activityctl import wiring
from activityctl.api.allowed_methods import is_only_asked
from activityctl.api.bodies import Intake
from activityctl.api.identity import bears_token
from activityctl.api.problems import CONTENT_TYPE
from activityctl.api.refusals import BodyTooLargeError
from activityctl.domain.sources.answer import TEXT, Answer
from activityctl.domain.sources.request import WebRequest
from activityctl.operations.events.receive import Receiver, receive, refuse_large
from activityctl.settings import Settings
from activityctl.steps.deciding import Deciding

router = APIRouter(tags=["events"])
_OF_OBJECTS: Final = frozenset({"GET", "DELETE"})
_SECONDS: Final = 5.0
"""How long the evaluator process may work for the expressions of one request."""
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "description": "What the sender sends, of any content type.",
        "content": {"application/json": {"schema": {}, "example": {"action": "opened"}}},
    }
}


@contextmanager
def receiving(settings: Settings, ports: wiring.Ports) -> Iterator[Receiver]:
    """Return what receiving web hooks needs; its evaluator process ends with the block."""
    evaluators = wiring.build_evaluators()
    deciding = Deciding(lambda: evaluators.session(_SECONDS))
    try:
        yield Receiver(
            ports.sources,
            ports.events,
            wiring.open_secrets(settings),
            deciding,
            wiring.parse_hook_body,
            lambda: datetime.now(UTC),
        )
    finally:
        deciding.close()
        evaluators.close()


async def _received(name: str, request: Request) -> Response:
    receiver: Receiver = request.app.state.receiver
    intake: Intake = request.app.state.intake
    try:
        async with intake.body(request) as body:
            answer = await receive(receiver, name, _web_request(request, body))
    except BodyTooLargeError:
        await refuse_large(receiver, name, _web_request(request, b""))
        raise
    return _response(answer, request.state.request_id)


def _web_request(request: Request, body: bytes) -> WebRequest:
    pairs = request.scope["headers"]
    return WebRequest(
        request.method,
        request.url.path,
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs),
        request.scope["query_string"].decode("latin-1"),
        body,
        None if request.client is None else request.client.host,
    )


def _response(answer: Answer, request_id: str) -> Response:
    if answer.media_type == TEXT:
        content = answer.body
    else:
        is_problem = answer.media_type == CONTENT_TYPE
        more: dict[str, Any] = {}
        if is_problem:
            retryable = answer.status == HTTPStatus.SERVICE_UNAVAILABLE
            more = {"hint": None, "retryable": retryable, "requestId": request_id}
        view = {**more, **answer.body} if isinstance(answer.body, dict) else answer.body
        content = json.dumps(view, ensure_ascii=False, allow_nan=False)
    encoded = str(content).encode("utf-8", "replace")
    return Response(encoded, answer.status, dict(answer.headers), media_type=answer.media_type)


@router.post(
    "/sources/{name}",
    summary="Receive a web hook",
    response_class=Response,
    openapi_extra=_BODY,
)
async def receive_hook(answer: Annotated[Response, Depends(_received)]) -> Response:
    """Verify and map a request as the EventSource of this name says, and store its events.

    The answer comes once they are committed. What is refused is recorded: see
    `activityctl describe source NAME`.
    """
    return answer


class _HookRoute(APIRoute):
    """A path of web hooks that leaves requests with a token of the API to the path of objects."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if is_only_asked(scope):
            return Match.NONE, {}
        found, child = super().matches(scope)
        if found is Match.FULL and scope["method"] in _OF_OBJECTS and bears_token(scope):
            return Match.NONE, {}
        return found, child


hooks = APIRouter(route_class=_HookRoute)


@hooks.api_route(
    "/sources/{name}", methods=["GET", "PUT", "PATCH", "DELETE"], include_in_schema=False
)
async def receive_other(answer: Annotated[Response, Depends(_received)]) -> Response:
    """Receive a challenge, or a method that the event source takes beside POST.

    With a token of the API, GET shows the event source and DELETE deletes it.
    """
    return answer


router.include_router(hooks)
