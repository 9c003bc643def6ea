"""Documents: the stored objects as manifests, and the JSON Schema of manifests."""

import asyncio
from functools import cache
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from activityctl import wiring
from activityctl.api.answers import tagged_response
from activityctl.api.identity import Known
from activityctl.api.manifest_input import YAML
from activityctl.api.sight import Sight
from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.events.envelope_schema import ENVELOPE_SCHEMA
from activityctl.domain.gitops.reach import Reach
from activityctl.domain.manifests.explain import kind_named
from activityctl.domain.manifests.schema import document_schema
from activityctl.domain.values.json_form import View, list_view
from activityctl.domain.values.selection import Selection, parse_labels
from activityctl.errors import NotFoundError
from activityctl.operations.gitops.history import export
from activityctl.operations.looking.kinds import manifest_kind_of
from activityctl.wiring import Ports

router = APIRouter(tags=["manifests"])
_KINDS: Final = "definition, subscription, calendar or source"
KindName = Annotated[str | None, Query(description=f"only this kind: {_KINDS}")]


async def _export(
    request: Request,
    caller: Known,
    kind: KindName = None,
    name: str | None = None,
    label: Annotated[list[str], Query(description="`key=value`")] = [],
) -> Response:
    ports: Ports = request.app.state.ports
    Sight(ports, caller).require_validates()
    only = manifest_kind_of(kind) if kind else None
    selection = Selection(name=name, labels=parse_labels(label))
    found = await export(ports.catalog, selection, only, reach=Reach(caller))
    documents = [mask_literals(each) for each in found]
    if name is not None and not documents:
        raise NotFoundError(kind or "object", name)
    if request.headers.get("accept", "").partition(";")[0].strip().lower() not in YAML:
        return tagged_response(request, list_view(documents))
    text = await asyncio.to_thread(lambda: "---\n".join(map(wiring.to_yaml, documents)))
    return Response(text, media_type=YAML[0])


@router.get("/export", summary="Show stored objects as manifests", response_class=Response)
async def show_manifests(answer: Annotated[Response, Depends(_export)]) -> Response:
    """Return stored objects as manifests that can be applied unchanged, as `export -o json` does.

    With `Accept: application/yaml`, they come as YAML. Literal credentials are masked.
    """
    return answer


async def _schema(
    request: Request,
    _: Known,
    kind: Annotated[str | None, Query(description=f"only this kind: {_KINDS}; or event")] = None,
) -> Response:
    if kind == "event":
        return tagged_response(request, ENVELOPE_SCHEMA)
    return tagged_response(request, _schema_of(kind_named(kind) if kind else None))


@cache
def _schema_of(kind: str | None) -> View:
    """Return the schema, which takes 70 ms to make and is the same as long as a process runs."""
    return document_schema(wiring.known_kinds(), kind)


@router.get("/schema", summary="Show the JSON Schema of manifests", response_class=Response)
async def show_schema(answer: Annotated[Response, Depends(_schema)]) -> Response:
    """Return the JSON Schema (draft 2020-12) of manifests, or of events, as `schema` does."""
    return answer
