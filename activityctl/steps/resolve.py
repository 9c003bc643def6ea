"""Resolves the context of a run: each source in order, with the values of those before it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from activityctl.domain.cel.expression import render
from activityctl.domain.manifests.definition import ContextTemplate, DefinitionSpec
from activityctl.domain.runs.advance import run_scope
from activityctl.domain.runs.run import Run
from activityctl.domain.values.finding import findings_of
from activityctl.errors import ActivityctlError, InvalidInputError
from activityctl.ports import ContextSource, JsonValue


async def resolve_context(
    run: Run, spec: DefinitionSpec, sources: Mapping[str, ContextSource], now: datetime
) -> Run:
    """Return the run with its context. Raises InvalidInputError with the source that failed."""
    for template in spec.context:
        try:
            value = await _resolve(run, template, sources, now)
        except ActivityctlError as error:
            raise InvalidInputError(f"context {template.name}: {error}") from error
        run = replace(run, context={**run.context, template.name: value})
    return run


async def _resolve(
    run: Run, template: ContextTemplate, sources: Mapping[str, ContextSource], now: datetime
) -> JsonValue:
    source = sources.get(template.kind)
    if source is None:
        raise InvalidInputError(f"this worker does not know the context source {template.kind!r}")
    body = render(template.body, run_scope(run, now))
    try:
        typed = source.body.model_validate_json(json.dumps(body))
    except ValidationError as error:
        first = findings_of(error, source.body)[0]
        raise InvalidInputError(f"{'.'.join(map(str, first.path))}: {first.reason}") from error
    return await source.resolve(typed, run)
