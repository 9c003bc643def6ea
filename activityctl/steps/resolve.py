"""Resolves the context of a run: each source in order, with the values of those before it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from activityctl.domain.bodies.secret_choices import refuse_chosen_secrets
from activityctl.domain.cel.expression import render
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.scope import run_scope
from activityctl.domain.values.finding import findings_of
from activityctl.errors import ActivityctlError, InvalidInputError
from activityctl.ports import ContextSource, JsonValue, SecretReader, SourceCall
from activityctl.steps.deciding import Deciding
from activityctl.steps.held_secrets import NO_SECRETS, HeldSecrets


async def resolve_context(
    run: Run,
    spec: DefinitionSpec,
    sources: Mapping[str, ContextSource],
    now: datetime,
    decide: Deciding,
    secrets: SecretReader = NO_SECRETS,
) -> Run:
    """Return the run with its context. Raises InvalidInputError with the source that failed."""
    for template in spec.context:
        held = HeldSecrets(secrets)
        try:
            source = sources.get(template.kind)
            if source is None:
                message = f"this worker does not know the context source {template.kind!r}"
                raise InvalidInputError(message)
            body = await decide(render, template.body, run_scope(run, now))
            refuse_chosen_secrets(template.body, body)
            value = await _resolve(run, source, body, held)
        except ActivityctlError as error:
            reason = held.mask.text(str(error))
            raise InvalidInputError(f"context {template.name}: {reason}") from None
        run = replace(run, context={**run.context, template.name: value})
    return run


async def _resolve(
    run: Run, source: ContextSource, body: JsonValue, held: HeldSecrets
) -> JsonValue:
    try:
        typed = source.body.model_validate_json(json.dumps(body))
    except ValidationError as error:
        first = findings_of(error, source.body)[0]
        raise InvalidInputError(f"{'.'.join(map(str, first.path))}: {first.reason}") from error
    value = await source.resolve(typed, SourceCall(run, held.resolve))
    return held.mask.json(value)
