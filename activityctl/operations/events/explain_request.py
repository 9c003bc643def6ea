"""Explain what an event source does with a saved request; store nothing."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.events.input import RawEvent
from activityctl.domain.sources.answer import answer_of
from activityctl.domain.sources.decision import Challenged, Decision, Ignored, decide
from activityctl.domain.sources.mapping import Mapped
from activityctl.domain.sources.refusal import UNVERIFIED, Refusal, RefusalCode
from activityctl.domain.sources.request import ReadJson, WebRequest
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.errors import NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.events.explain_event import Explained, explain_unsent
from activityctl.operations.events.receive import read_secrets
from activityctl.ports import Catalog, SecretReader, SourceLedger

_ASSUMED: Final = "assumed"
_NOT_VERIFIED: Final = frozenset({UNVERIFIED, 503})
_HASHED: Final = (
    "no id is mapped: the id is a hash of method, query and body, so a request with the same bytes "
    "is a duplicate, even if the sender means a second event"
)
_IN_TIME: Final = "what follows is as if the request had come in time"
_AS_IF: Final = "what follows is as if the request were verified"


@frozen_dataclass
class ExplainedRequest:
    """What an event source does with a request, and what its events match."""

    view: View
    events: Sequence[Explained] = ()


@frozen_dataclass
class RequestReader:
    """What explaining a request needs besides the catalog."""

    ledger: SourceLedger
    secrets: SecretReader
    read_json: ReadJson
    clock: Callable[[], datetime]


async def explain_request(
    catalog: Catalog,
    reader: RequestReader,
    name: str,
    request: WebRequest,
    subscription: str | None,
) -> ExplainedRequest:
    """Return what the live event source does with the request now.

    If the request is not verified, for example because it is old, the rest is explained as if
    it were. Raises NotFoundError if there is no such source, and what `explain_unsent` raises.
    """
    source = await reader.ledger.find(name)
    if source is None:
        raise NotFoundError("source", name, hint="activityctl get sources")
    spec = source.spec
    secrets = await read_secrets(reader.secrets, spec.verify.secret_names)
    now, read_json = reader.clock(), reader.read_json
    decision = decide(name, spec, request, secrets, now, read_json)
    shown, notes = decision, []
    refusal = decision.outcome if isinstance(decision.outcome, Refusal) else None
    if refusal is not None and decision.verified is None and refusal.status in _NOT_VERIFIED:
        shown = decide(name, spec, request, secrets, now, read_json, assume_verified=_ASSUMED)
        is_old = refusal.code is RefusalCode.TIMESTAMP_OUTSIDE_TOLERANCE
        notes.append(_IN_TIME if is_old else _AS_IF)
    events: Sequence[Explained] = ()
    if isinstance(shown.outcome, Mapped):
        notes += [_HASHED] if shown.outcome.has_hashed_ids and shown.outcome.events else []
        events = await explain_unsent(catalog, _unsent(shown.outcome), subscription)
    view: View = {
        "apiVersion": API_VERSION,
        "kind": "RequestExplanation",
        "source": name,
        "method": request.method,
        "size": len(request.body),
        "verified": decision.verified is not None,
        "isOpen": spec.verify.is_open,
        "verification": _verification(decision, refusal, spec.verify.text),
        "outcome": _outcome(decision),
        "code": None if refusal is None else refusal.code.value,
        "reason": None if refusal is None else refusal.reason,
        "status": _status(decision),
        "mapping": _mapping(shown),
        "notes": notes,
        "events": [each.view for each in events],
    }
    if not isinstance(decision.outcome, Mapped):
        view["answer"] = answer_of(spec, decision).body
    return ExplainedRequest(view, events)


def _verification(decision: Decision, refusal: Refusal | None, text: str) -> str:
    if decision.verified is not None:
        old = ", the old one" if decision.verified.is_by_old_secret else ""
        return decision.verified.how + old
    if refusal is not None and refusal.status in _NOT_VERIFIED:
        return refusal.reason
    return f"nothing was looked at ({text})"


def _outcome(decision: Decision) -> str:
    match decision.outcome:
        case Mapped(events):
            return "events" if events else "ignored"
        case Challenged():
            return "challenge"
        case Ignored():
            return "ignored"
        case Refusal():
            return "refused"


def _status(decision: Decision) -> int:
    """Return the status of the answer; an event that is in conflict gives another one."""
    return decision.outcome.status if isinstance(decision.outcome, Refusal) else 200


def _mapping(shown: Decision) -> str:
    """Return what becomes of the request once it is verified, in words."""
    match shown.outcome:
        case Mapped(events) if len(events) == 1:
            return "one event"
        case Mapped(events):
            return f"{len(events):,} events" if events else "no event: the list is empty"
        case Challenged():
            return "a challenge, which is answered at once"
        case Ignored():
            return "no event: `when` is false"
        case Refusal() as refusal:
            return f"refused: {refusal.reason}"


def _unsent(mapped: Mapped) -> list[ValidEvent]:
    return [
        ValidEvent(RawEvent("request", number, 1, 1, b""), event)
        for number, event in enumerate(mapped.events, 1)
    ]
