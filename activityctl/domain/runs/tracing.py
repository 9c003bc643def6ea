"""Traces: the spans of a run, with ids that follow from its own, so that a repeat has the same.

W3C Trace Context gives the form of the header `traceparent`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Final, Literal

from activityctl.domain.runs.run import FAILURES, Run
from activityctl.frozen_dataclass import frozen_dataclass

_HEADER: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_NOTHING: Final = frozenset({"0" * 32, "0" * 16})
"""The ids that W3C does not allow."""

SpanKind = Literal["internal", "client"]


@frozen_dataclass
class SpanContext:
    """The ids of a span: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str

    @property
    def header(self) -> str:
        """The value of `traceparent` for a call that this span makes."""
        return f"00-{self.trace_id}-{self.span_id}-01"


@frozen_dataclass
class Span:
    """A part of a trace that has ended."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    began: datetime
    ended: datetime
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str | None = None
    """What failed, in a word or two; None if nothing did."""
    kind: SpanKind = "internal"


def parse_header(value: object) -> SpanContext | None:
    """Return the ids of a `traceparent`; None if it is not valid."""
    found = _HEADER.fullmatch(value) if isinstance(value, str) else None
    if found is None or not _NOTHING.isdisjoint(found.groups()):
        return None
    if found[3] and found[0].startswith("00"):  # version 00 has no more parts
        return None
    return SpanContext(found[1], found[2])


def parent_of(run: Run) -> SpanContext | None:
    """Return the span that the last event of the run names; None for a replay or a retry.

    They have a trace of their own: their run id is another one, and nobody waits for them there.
    """
    if run.replay_of is not None or not run.events:
        return None
    return parse_header(run.events[-1].get("traceparent"))


def firing_context(run: Run) -> SpanContext:
    """Return the ids of the firing, the first span of a run."""
    parent = parent_of(run)
    trace = parent.trace_id if parent is not None else _digits("trace", run.id, 32)
    return SpanContext(trace, _digits("firing", run.id, 16))


def run_context(run: Run) -> SpanContext:
    """Return the ids of the span of a run."""
    return SpanContext(firing_context(run).trace_id, _digits("run", run.id, 16))


def attempt_context(run: SpanContext, task_id: str, attempt: int) -> SpanContext:
    """Return the ids of the span of an attempt of a task, or of a lookup, which names itself."""
    return SpanContext(run.trace_id, _digits("attempt", f"{task_id}/{attempt}", 16))


def call_context(attempt: SpanContext, number: int) -> SpanContext:
    """Return the ids of the span of a call that an attempt makes; they count from 1."""
    return SpanContext(attempt.trace_id, _digits("call", f"{attempt.span_id}/{number}", 16))


def spans_of_run(run: Run) -> tuple[Span, ...]:
    """Return the spans of the firing and of the run, once the run has ended.

    The firing lasts from its due time, or from when the run was created if that was earlier, until
    the run starts. A run that never started has only that.
    """
    if run.ended_at is None:
        return ()
    facts = {
        "activityctl.run": run.id,
        "activityctl.subscription": run.subscription,
        "activityctl.definition": run.definition,
        "activityctl.trigger": run.trigger,
        "activityctl.status": run.status.value,
    }
    error = run.status.value if run.status in FAILURES else None
    began = min(run.due_at, run.created_at)
    waited = max(began, run.started_at or run.ended_at)
    of_firing = firing_context(run)
    name = f"firing {run.subscription}/{run.trigger}"
    firing = Span(name, of_firing, parent_of(run), began, waited, facts)
    if run.started_at is None:
        return (firing,)
    ended = max(run.started_at, run.ended_at)
    name = f"run {run.subscription}"
    return firing, Span(name, run_context(run), of_firing, run.started_at, ended, facts, error)


def _digits(kind: str, name: str, count: int) -> str:
    return hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()[:count]
