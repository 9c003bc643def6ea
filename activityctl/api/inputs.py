"""Reads JSON bodies strictly into models, and refuses what does not fit with the field's name."""

from collections.abc import Iterator
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import ValidationError

from activityctl import wiring
from activityctl.api.bodies import require_uncompressed
from activityctl.domain.values.model import Manifest
from activityctl.errors import InvalidInputError, UsageError

Model = TypeVar("Model", bound=Manifest)
_NAME = "body"
_SHOWN: Final = 60
"""How many characters of a parameter's name an error repeats."""
LONGEST_WAIT: Final = 60
"""How many seconds a request may wait for something."""


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body; an absent body is an empty one.

    InvalidInputError for JSON that is not valid, and for another value;
    UnsupportedMediaTypeError for a body that is compressed.
    """
    require_uncompressed(request.headers)
    async with request.app.state.intake.body(request) as body:
        value = (
            wiring.parse_json(body.decode("utf-8", "surrogateescape"), _NAME, example="{}")
            if (body.strip())
            else {}
        )
    if not isinstance(value, dict):
        raise InvalidInputError("the body is not a JSON object", hint='send {"name": "value"}')
    return value


async def read_body(request: Request, model: type[Model]) -> Model:
    """Return the body as the model; an absent body is an empty object.

    InvalidInputError for JSON that is not valid, and for a field that is unknown or wrong.
    """
    value = await read_object(request)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or _NAME
        raise InvalidInputError(f"{place}: {first['msg']}") from None


def body_of(model: type[Manifest], example: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says about such a body."""
    content = {"schema": model.model_json_schema(), "example": example}
    return {"requestBody": {"content": {"application/json": content}}}


async def check_query(request: Request) -> None:
    """Raise UsageError for a parameter that the path does not have, such as a misspelled one."""
    if not request.query_params:
        return
    known = set(_query_parameters(request.scope["route"].dependant))
    for name in request.query_params:
        if name not in known:
            hint = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise UsageError(f"this path has no parameter {name[:_SHOWN]!r}", hint=hint)


def _query_parameters(dependant: Any) -> Iterator[str]:
    """Yield the names of what a path, and everything that it depends on, reads of the query."""
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _query_parameters(inner)
