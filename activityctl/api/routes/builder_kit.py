"""The two paths of the Builder Kit: register an executor, and read the triggers of a subscription.

Their requests and answers are those of the Builder Kit, so they differ from our other paths.
"""

import asyncio
import logging
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from activityctl import wiring
from activityctl.api.answers import json_response
from activityctl.api.auditing import recorded
from activityctl.api.identity import Known
from activityctl.api.inputs import body_of, read_object
from activityctl.api.refusals import NoKeyStoreError
from activityctl.api.sight import Sight
from activityctl.domain.access.caller import Caller
from activityctl.domain.chain.config_request import ConfigRequest
from activityctl.domain.chain.keys import HeldKey, KeyKind
from activityctl.domain.gitops.history import Origin
from activityctl.domain.values.untrusted import escape_line
from activityctl.errors import ActivityctlError, NotAllowedError, NotFoundError
from activityctl.operations.kit.logs import LIMIT, MOST, subscription_logs
from activityctl.operations.kit.register import config_name, read_config, register_executor
from activityctl.wiring import Ports

router = APIRouter(tags=["builder kit"])
_LOG = logging.getLogger(__name__)
_LAST_OFFSET: Final = 1_000_000_000
_EXAMPLE: Final = {
    "registryID": "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f",
    "source": {"type": "INTERVAL", "value": 30},
    "destination": {"baseURL": "https://executor.com"},
    "verifyPayload": True,
    "relayerCount": 1,
    "signature": "0x1234",
}


class _ServerKeys:
    """Makes keys on the server's machine, in threads: the store may let its callers wait.

    That the store cannot be used is the fault of the server, whatever is wrong with it.
    """

    def __init__(self, request: Request, caller: Caller) -> None:
        self._keys = wiring.open_keys(request.app.state.settings)
        self._caller = caller

    async def create(self, name: str, kind: KeyKind) -> HeldKey:
        """Make a key."""
        try:
            return await asyncio.to_thread(lambda: asyncio.run(self._keys.create(name, kind)))
        except ActivityctlError as error:
            raise self._refusal(error) from error

    async def remove(self, name: str) -> None:
        """Forget a key; NotFoundError if there is none."""
        try:
            await asyncio.to_thread(lambda: asyncio.run(self._keys.remove(name)))
        except NotFoundError:
            raise
        except ActivityctlError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: ActivityctlError) -> NoKeyStoreError:
        """Return the refusal; only an admin is told about files of this machine."""
        _LOG.error("keys cannot be kept: %s", escape_line(str(error)))
        why = error.message if self._caller.is_admin else "its log says why"
        return NoKeyStoreError(
            f"this server cannot keep keys, so nothing was registered: {why}",
            hint="an operator finds the reason with activityctl doctor on the server's machine",
        )


async def _register(request: Request, caller: Known) -> Response:
    ports: Ports = request.app.state.ports
    async with recorded(request, caller, "register", "config") as details:
        Sight(ports, caller).require_applies()
        asked = read_config(await read_object(request))
        name = config_name(asked)
        details["definition"] = name
        if not caller.may_apply(name):
            raise NotAllowedError(
                f"this token may not change the apply set {name}",
                hint="activityctl tokens create NAME --scope 'apply:set=config-*'",
            )
        now = await ports.workers.server_time()
        origin = Origin(command="register", actor=caller.name)
        keys = _ServerKeys(request, caller)
        # One at a time: each holds a connection while it waits for the lock of the catalog.
        async with request.app.state.changes:
            with wiring.evaluating():
                made = await register_executor(
                    asked, ports.catalog, keys, wiring.known_kinds(), lambda: now, origin=origin
                )
    headers = {"Location": f"/v1/definitions/{made.name}", "Cache-Control": "no-store"}
    return json_response(made.view, 201, headers)


@router.post(
    "/config",
    summary="Register an executor",
    status_code=201,
    response_class=Response,
    openapi_extra=body_of(ConfigRequest, _EXAMPLE),
)
async def register(answer: Annotated[Response, Depends(_register)]) -> Response:
    """Register an executor by the request that it has signed, as the Builder Kit says.

    The answer is the only one that has `hmacKey`. A signature is good for once: a repeat is 409
    and changes nothing.
    """
    return answer


async def _logs(
    request: Request,
    sub_id: UUID,
    caller: Known,
    offset: Annotated[int, Query(ge=0, le=_LAST_OFFSET, description="0 is the newest")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = LIMIT,
) -> Response:
    ports: Ports = request.app.state.ports
    owner = await Sight(ports, caller).subscription(str(sub_id))
    found = await subscription_logs(
        ports.catalog, ports.hooks, owner.id, offset=offset, limit=limit
    )
    return json_response(found)


# Only an id fits, so that a subscription or a run that is called logs keeps its path.
@router.get(
    "/{sub_id:uuid}/logs", summary="Read the triggers of a subscription", response_class=Response
)
async def logs(answer: Annotated[Response, Depends(_logs)]) -> Response:
    """Return the triggers of a subscription that have ended, the newest first.

    Each has the request, the response of the executor, and the log that it has sent.
    """
    return answer
