"""ETag and If-Match of single objects: change one only if it is still as it was read."""

from fastapi import Request

from activityctl.api.answers import tag_of
from activityctl.api.refusals import PreconditionFailedError
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.operations.looking.describe import describe
from activityctl.operations.looking.kinds import Kind, singular
from activityctl.wiring import Ports


def wanted_tag(request: Request) -> str | None:
    """Return the tag that If-Match asks for; None if any is right."""
    text = request.headers.get("if-match", "*").strip()
    return None if text == "*" else text.removeprefix("W/").strip('"')


async def object_view(ports: Ports, kind: Kind, reference: str) -> View:
    """Return the object as GET shows it."""
    found = await describe(ports, kind, reference)
    return {"apiVersion": API_VERSION, "kind": singular(kind), **found}


async def require_match(request: Request, ports: Ports, kind: Kind, reference: str) -> None:
    """Raise PreconditionFailedError if the object does not have the tag of If-Match."""
    tag = wanted_tag(request)
    if tag is not None and tag_of(await object_view(ports, kind, reference)) != tag:
        raise PreconditionFailedError(
            f"{singular(kind)}/{reference} has changed since it was read; nothing was changed",
            hint=f"GET /v1/{kind}/{reference}, and send its ETag in If-Match",
        )
