"""The tokens with which programs use the API; only the scope admin may see and change them."""

import secrets
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from activityctl.api.answers import json_response
from activityctl.api.auditing import recorded
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_body
from activityctl.api.sight import Sight
from activityctl.domain.access.caller import Caller
from activityctl.domain.access.scope import parse_scope
from activityctl.domain.access.token import ID_BYTES, SECRET_BYTES, token_view
from activityctl.domain.values.duration import parse_duration
from activityctl.domain.values.model import Manifest
from activityctl.errors import ActivityctlError, UsageError
from activityctl.operations.access.tokens import add_token
from activityctl.operations.looking.cursors import page_of
from activityctl.wiring import Ports

router = APIRouter(prefix="/tokens", tags=["tokens"])
_PRIVATE: Final = {"Cache-Control": "no-store"}
_NEED: Final = "see or change tokens"


class TokenBody(Manifest):
    """A new token."""

    name: str
    scopes: list[str] = Field(description="`read`, `emit:type=order.*`, and so on.", max_length=100)
    ttl: str | None = Field(
        default=None, description="How long it is valid, such as `90d`; else until it is revoked."
    )


async def _create(request: Request, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    body = await _token_body(request, caller)
    async with recorded(request, caller, "tokens create", f"token/{body.name}") as details:
        Sight(ports, caller).require_admin(_NEED)
        scopes = [parse_scope(text) for text in body.scopes]
        details["scopes"] = [str(scope) for scope in scopes]
        try:
            span = None if body.ttl is None else parse_duration(body.ttl)
        except ValueError as error:
            raise UsageError(f"ttl: {error}", hint="send 90d") from None
        made = (secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES))
        now = await ports.workers.server_time()
        token, text = await add_token(
            ports.tokens, body.name, scopes, made, ttl=span, now=now, actor=caller.name
        )
    return json_response({**token_view(token, now), "token": text}, 201, _PRIVATE)


async def _token_body(request: Request, caller: Caller) -> TokenBody:
    """Return the body; a refusal is kept in the audit, without the name that only it has."""
    try:
        return await read_body(request, TokenBody)
    except ActivityctlError:
        async with recorded(request, caller, "tokens create", "token"):
            raise


@router.post(
    "",
    summary="Make a token",
    response_class=Response,
    openapi_extra=body_of(TokenBody, {"name": "shop", "scopes": ["emit:source=/shop"]}),
)
async def create(answer: Annotated[Response, Depends(_create)]) -> Response:
    """Make a token. Its text is in this answer and never again; only its hash is kept.

    409 if the name has been used before, also by a token that was revoked.
    """
    return answer


async def _list(
    request: Request,
    caller: Known,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[str | None, Query(description="`metadata.next` of the page before")] = None,
) -> Response:
    ports: Ports = request.app.state.ports
    Sight(ports, caller).require_admin(_NEED)
    now = datetime.now(UTC)
    views = [{**token_view(token, now)} for token in await ports.tokens.all()]
    return json_response(page_of("tokens", views, limit, cursor))


@router.get("", summary="List the tokens", response_class=Response)
async def list_tokens(answer: Annotated[Response, Depends(_list)]) -> Response:
    """List the tokens by name, with their scopes and their last use; never their texts."""
    return answer


async def _revoke(request: Request, name: str, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    async with recorded(request, caller, "tokens revoke", f"token/{name}"):
        Sight(ports, caller).require_admin(_NEED)
        now = await ports.workers.server_time()
        token = await ports.tokens.revoke(name, now)
    return json_response(token_view(token, now))


@router.post("/{name}/revoke", summary="Make a token invalid", response_class=Response)
async def revoke(answer: Annotated[Response, Depends(_revoke)]) -> Response:
    """Make a token invalid at once; a repeat changes nothing."""
    return answer
