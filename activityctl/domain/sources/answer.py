"""Answer: what the sender of a web hook gets. It does not say why a request is not verified."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from http import HTTPStatus
from typing import Final

from activityctl.domain.events.emit_result import emitted_of
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.events.json_form import emitted_view
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.sources.decision import Challenged, Decision, Ignored
from activityctl.domain.sources.mapping import Mapped
from activityctl.domain.sources.refusal import UNVERIFIED, Refusal, RefusalCode
from activityctl.domain.sources.spec import EventSourceSpec
from activityctl.domain.values.json_form import View, list_view
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
TEXT: Final = "text/plain; charset=utf-8"
_RETRY_AFTER_SECONDS: Final = 30
_UNVERIFIED: Final = "The request is not verified. The owner of the event source can see why."
_UNMAPPED: Final = "The request is no event of this source. Its owner can see why."
_UNAVAILABLE: Final = "The event source cannot verify requests now. Send the request again later."


@frozen_dataclass
class Answer:
    """The answer to a request: a text is sent as it is, all else as JSON."""

    status: int
    body: JsonValue
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def answer_of(
    spec: EventSourceSpec, decision: Decision, outcomes: Sequence[EmitOutcome] = ()
) -> Answer:
    """Return the answer to a request; `outcomes` are those of its events, which are stored."""
    match decision.outcome:
        case Challenged(answer) if isinstance(answer, dict | list):
            return Answer(HTTPStatus.OK, answer)
        case Challenged(answer):
            text = "" if answer is None else str(answer)
            return Answer(HTTPStatus.OK, text, TEXT)
        case Ignored():
            return Answer(HTTPStatus.OK, _emitted_list((), ()))
        case Mapped(events):
            return _stored(events, outcomes)
        case Refusal() as refusal:
            is_known = decision.verified is not None and not spec.verify.is_open
            return _refused(spec, refusal, tells_reason=is_known)


def _stored(events: Sequence[EventEnvelope], outcomes: Sequence[EmitOutcome]) -> Answer:
    results = _emitted_list(events, outcomes)
    if EmitOutcome.CONFLICT not in outcomes:
        return Answer(HTTPStatus.OK, results)
    reason = "An event with the same id and source is already stored with other content."
    problem = _problem(HTTPStatus.CONFLICT, RefusalCode.CONFLICT, reason)
    return Answer(HTTPStatus.CONFLICT, {**problem, "items": results["items"]}, PROBLEM)


def _emitted_list(events: Sequence[EventEnvelope], outcomes: Sequence[EmitOutcome]) -> View:
    """Return the results as `emit` and POST /v1/events give them."""
    results = [
        emitted_of(number, event, outcome)
        for number, (event, outcome) in enumerate(zip(events, outcomes, strict=True), 1)
    ]
    counts = {outcome.value: outcomes.count(outcome) for outcome in EmitOutcome}
    return {**list_view(map(emitted_view, results)), "summary": counts}


def _refused(spec: EventSourceSpec, refusal: Refusal, *, tells_reason: bool) -> Answer:
    status, headers = refusal.status, dict[str, str]()
    detail = refusal.reason if tells_reason else _UNMAPPED
    code: str = refusal.code
    if status == UNVERIFIED:
        detail, code = _UNVERIFIED, "unauthorized"
        headers["WWW-Authenticate"] = "Bearer" if spec.verify.bearer is not None else "Signature"
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        detail = _UNAVAILABLE
        headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    elif status in {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
        detail = refusal.reason
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(spec.methods)
    return Answer(status, _problem(status, code, detail), PROBLEM, headers)


def _problem(status: int, code: str, detail: str) -> View:
    """Return problem details as RFC 9457 has them."""
    title = HTTPStatus(status).phrase
    return {
        "type": f"urn:activityctl:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
