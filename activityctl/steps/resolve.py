"""Looks up the context of a run: each source in order, with the values of those before it."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from pydantic import ValidationError
from temporalio.exceptions import ApplicationError

from activityctl.domain.bodies.secret_choices import refuse_chosen_secrets
from activityctl.domain.bodies.verbatim import render_body
from activityctl.domain.cel.expression import render
from activityctl.domain.manifests.context import ContextTemplate
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.run_change import log_entry
from activityctl.domain.runs.scope import run_scope
from activityctl.domain.tasks.failure import failure_of
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.tasks.retry import chance_of
from activityctl.domain.values.failure_kind import is_outage
from activityctl.domain.values.finding import findings_of
from activityctl.errors import ActivityctlError, InvalidInputError, TaskError, UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import (
    ContextSource,
    JsonValue,
    Outgoing,
    SecretReader,
    SourceCall,
    untraced,
)
from activityctl.steps.deciding import Deciding
from activityctl.steps.guarded_lookups import GuardedLookups
from activityctl.steps.held_secrets import NO_SECRETS, HeldSecrets
from activityctl.steps.log_writer import LogWriter
from activityctl.steps.tracing import Tracing

_LOG = logging.getLogger(__name__)
_EXTRA_SECONDS: Final = 0.5
"""Added to the limit of an attempt. Sources keep the limit themselves, with a better message."""

_MOST_HELD: Final = 1_000


@frozen_dataclass
class _HeldLookup:
    """What the lookup of a run had when a breaker or a limit held it up."""

    context: Mapping[str, JsonValue]
    name: str = ""
    """The value that is held up."""
    attempt: int = 1
    """The number of its attempt."""


class ContextLookup:
    """Looks up the context of runs, with the timeout, the retries and the default of each value."""

    def __init__(
        self,
        sources: Mapping[str, ContextSource],
        clock: Callable[[], datetime],
        decide: Deciding,
        log: LogWriter | None = None,
        secrets: SecretReader = NO_SECRETS,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        guarded: GuardedLookups | None = None,
    ) -> None:
        """Failed attempts and used defaults are written to the log, if there is one.

        Without `guarded`, nothing holds up an attempt.
        """
        self._sources = sources
        self._clock = clock
        self._decide = decide
        self._log = log
        self._secrets = secrets
        self._sleep = sleep
        self._guarded = guarded
        self._held: dict[str, _HeldLookup] = {}
        self.tracing: Tracing | None = None
        """Gives the calls of sources their headers; None gives them none."""

    def is_held(self, run_id: str) -> bool:
        """Return whether a breaker or a limit has held up the lookup of the run here."""
        return run_id in self._held

    async def __call__(self, run: Run, spec: DefinitionSpec) -> Run:
        """Return the run with its context; what it has of that already is kept.

        Raises InvalidInputError with the name of the source that failed and is not optional. An
        outage of Postgres raises UnreachableError, so that the lookup is repeated. What is held up
        for long raises ApplicationError, after which Temporal asks again; the next call goes on
        with the values that this one has.
        """
        before = self._held.pop(run.id, _HeldLookup({}))
        run = replace(run, context={**run.context, **before.context})
        for template in spec.context:
            if template.name in run.context:  # the run that is replayed has resolved it
                continue
            held = HeldSecrets(self._secrets)
            first = before.attempt if template.name == before.name else 1
            try:
                value = await self._value(run, template, held, spec.limits, first)
            except ActivityctlError as error:
                if _is_outage(error):
                    raise
                reason = held.mask.text(str(error))
                raise InvalidInputError(f"context {template.name}: {reason}") from None
            run = replace(run, context={**run.context, template.name: value})
        return run

    async def _value(
        self,
        run: Run,
        template: ContextTemplate,
        held: HeldSecrets,
        limits: Sequence[Limit],
        first: int,
    ) -> JsonValue:
        try:
            return held.mask.json(await self._attempts(run, template, held, limits, first))
        except ActivityctlError as error:
            if not template.optional or _is_outage(error):
                raise
            message = f"context {template.name}: its default is used, because it failed: {error}"
            await self._warn(run, held.mask.text(message), source=template.kind)
        return await self._decide(render, template.default, run_scope(run, self._clock()))

    async def _attempts(
        self,
        run: Run,
        template: ContextTemplate,
        held: HeldSecrets,
        limits: Sequence[Limit],
        attempt: int,
    ) -> JsonValue:
        source = self._sources.get(template.kind)
        if source is None:
            raise InvalidInputError(
                f"this worker does not know the context source {template.kind!r}"
            )
        scope = run_scope(run, self._clock())
        body = await self._decide(render_body, template.kind, template.body, scope)
        refuse_chosen_secrets(template.body, body)
        typed = _typed(source, body)
        guarded = self._guarded
        lookup = None if guarded is None else guarded.of(run, template, body, limits)
        while True:
            seconds = template.timeout.total_seconds()
            outgoing: Outgoing = untraced
            if self.tracing is not None:
                outgoing = self.tracing.of_lookup(run, template.name, attempt)
            call = SourceCall(
                *(run, template.name, attempt, seconds, self._decide, held.resolve, held.mask),
                outgoing=outgoing,
            )
            resolve = partial(self._attempt, source, typed, call)
            try:
                if guarded is None or lookup is None:
                    return await resolve()
                return await guarded.attempt(lookup, run, attempt, seconds, resolve, held.mask)
            except ApplicationError:  # held up
                self._keep(run, template.name, attempt)
                raise
            except TaskError as error:
                failure = failure_of(error, attempt)
                if attempt >= template.retry.attempts or not template.retry.repeats(failure):
                    raise
                asked = timedelta(seconds=error.retry_after_seconds or 0)
                chance = chance_of(f"{run.id}/{template.name}", attempt)
                seconds = template.retry.wait_after(attempt, asked, chance).total_seconds()
                message = (
                    f"context {template.name}: attempt {attempt} failed, the next one is in "
                    f"{seconds:g} s: {error}"
                )
                message = held.mask.text(message)
                await self._warn(run, message, source=template.kind, code=error.task_code)
            await self._sleep(seconds)
            attempt += 1

    def _keep(self, run: Run, name: str, attempt: int) -> None:
        """Keep what the lookup of the run has so far; of too many, forget the oldest."""
        if len(self._held) >= _MOST_HELD:
            del self._held[next(iter(self._held))]
        self._held[run.id] = _HeldLookup(run.context, name, attempt)

    async def _attempt(self, source: ContextSource, body: object, call: SourceCall) -> JsonValue:
        limit = call.timeout_seconds
        try:
            async with asyncio.timeout(limit + _EXTRA_SECONDS):
                return await source.resolve(body, call)
        except TimeoutError as error:
            raise TaskError(f"no result within {limit:g} s (timeout)", code="timeout") from error
        except ActivityctlError:
            raise
        except Exception as error:  # a fault of a source fails its run alone
            _LOG.exception("source failed", extra={"run": call.run.id, "kind": source.kind})
            message = f"{type(error).__name__} in the context source {source.kind}: {error}"
            raise TaskError(message, code="internal", retryable=False) from error

    async def _warn(self, run: Run, message: str, **facts: JsonValue) -> None:
        if self._log is not None:
            entry = log_entry(run, "warning", message, self._clock(), **facts)
            await self._log.write(entry)


def _is_outage(error: ActivityctlError) -> bool:
    """Return whether Postgres does not answer, so that the whole lookup is repeated."""
    return is_outage(error) and isinstance(error, UnreachableError)


def _typed(source: ContextSource, body: JsonValue) -> object:
    try:
        return source.body.model_validate_json(json.dumps(body))
    except ValidationError as error:
        first = findings_of(error, source.body)[0]
        path = ".".join(map(str, (source.kind, *first.path)))
        raise InvalidInputError(f"{path}: {first.reason}") from error
