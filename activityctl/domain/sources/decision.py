"""Decides about one request: challenge, refusal, ignored, or events. Pure: everything is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from activityctl.domain.cel.evaluator import present_evaluator
from activityctl.domain.cel.expression import evaluate_condition, render
from activityctl.domain.sources.mapping import Mapped, map_request
from activityctl.domain.sources.refusal import Refusal, RefusalCode
from activityctl.domain.sources.request import (
    ReadJson,
    UnreadableError,
    WebRequest,
    body_value,
    scope_of,
)
from activityctl.domain.sources.spec import Challenge, EventSourceSpec
from activityctl.domain.sources.verify import Verified, verify
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionBudgetError, ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

_LONGEST_ANSWER: Final = 4_096
_WORK_OF_A_BYTE: Final = 4
"""In the units of an evaluator: JSON of 50 kB takes some milliseconds."""


@frozen_dataclass
class Challenged:
    """The request is a challenge, and this is the answer."""

    answer: JsonValue


@frozen_dataclass
class Ignored:
    """The request is accepted, but `when` says that it is no event."""


Outcome = Mapped | Challenged | Ignored | Refusal


@frozen_dataclass
class Decision:
    """What becomes of a request, and whether it was verified."""

    outcome: Outcome
    verified: Verified | None = None


@dataclass(slots=True)
class _Reader:
    """Reads the body of a request when it is first needed."""

    request: WebRequest
    spec: EventSourceSpec
    read_json: ReadJson
    _scope: JsonValue = field(default=None)

    def scope(self) -> JsonValue:
        """Return what expressions know as `request`; raise UnreadableError."""
        if self._scope is None:
            body = body_value(self.request, self.spec.body, self.read_json)
            self._scope = scope_of(self.request, body, self.spec.verify.headers)
        return self._scope


def decide(
    name: str,
    spec: EventSourceSpec,
    request: WebRequest,
    secrets: Mapping[str, str],
    now: datetime,
    read_json: ReadJson,
    *,
    assume_verified: str | None = None,
) -> Decision:
    """Return what becomes of a request to the source of that name.

    `secrets` has the values of those of its secrets that are here. Expressions are evaluated by
    the present evaluator. With `assume_verified`, why, the request counts as verified.
    """
    _count_work(request)
    is_wanted = request.method in spec.methods
    if not is_wanted and not spec.challenges:
        return Decision(_method_refusal(spec, request))
    reader = _Reader(request, spec, read_json)
    if (challenged := _challenge(reader, verified=False)) is not None:
        return Decision(challenged)
    if assume_verified is not None:
        verified: Verified | Refusal = Verified(assume_verified)
    else:
        verified = verify(request, spec.verify, secrets, now)
    if isinstance(verified, Refusal):
        return Decision(verified)
    return Decision(_outcome(name, reader, now, is_wanted=is_wanted), verified)


def _count_work(request: WebRequest) -> None:
    """Count the reading of a body, so that a large one is read where that blocks nobody."""
    evaluator = present_evaluator()
    if evaluator is not None:
        evaluator.count(len(request.body) * _WORK_OF_A_BYTE)


def _outcome(name: str, reader: _Reader, now: datetime, *, is_wanted: bool) -> Outcome:
    """Return what becomes of a verified request."""
    try:
        scope = reader.scope()
    except UnreadableError as error:
        return Refusal(RefusalCode.BODY_UNREADABLE, str(error))
    if (challenged := _challenge(reader, verified=True)) is not None:
        return challenged
    if not is_wanted:
        return _method_refusal(reader.spec, reader.request)
    unwanted = _unwanted(reader.spec, scope)
    return unwanted or map_request(name, reader.spec, reader.request, scope, now)


def _method_refusal(spec: EventSourceSpec, request: WebRequest) -> Refusal:
    reason = f"the method is {request.method[:20]}; this source takes {', '.join(spec.methods)}"
    return Refusal(RefusalCode.METHOD_NOT_ALLOWED, reason)


def _challenge(reader: _Reader, *, verified: bool) -> Challenged | Refusal | None:
    for challenge in reader.spec.challenges:
        if challenge.verified is not verified:
            continue
        try:
            scope = {"request": reader.scope()}
        except UnreadableError:
            return None
        if _holds(challenge.when, scope):
            return _answer(challenge, scope)
    return None


def _holds(condition: str, scope: Mapping[str, Any]) -> bool:
    try:
        return evaluate_condition(condition, scope)
    except ExpressionError:
        return False


def _answer(challenge: Challenge, scope: Mapping[str, Any]) -> Challenged | Refusal:
    try:
        answer = render(challenge.answer, scope)
    except ExpressionBudgetError as error:
        return Refusal(RefusalCode.EXPRESSION_BUDGET, f"challenge: {error.message}")
    except ExpressionError as error:
        return Refusal(RefusalCode.MAPPING_FAILED, f"challenge: {error.message}")
    if len(str(answer)) > _LONGEST_ANSWER:
        reason = f"challenge: the answer has more than {_LONGEST_ANSWER:,} characters"
        return Refusal(RefusalCode.MAPPING_FAILED, reason)
    return Challenged(answer)


def _unwanted(spec: EventSourceSpec, scope: JsonValue) -> Ignored | Refusal | None:
    if spec.when is None:
        return None
    try:
        return None if evaluate_condition(spec.when, {"request": scope}) else Ignored()
    except ExpressionBudgetError as error:
        return Refusal(RefusalCode.EXPRESSION_BUDGET, f"when: {error.message}")
    except ExpressionError as error:
        return Refusal(RefusalCode.MAPPING_FAILED, f"when: {error.message}")
