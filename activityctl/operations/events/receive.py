"""Receive a web hook: verify it, make events of it, store them, and answer after the commit."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.sources.answer import Answer, answer_of
from activityctl.domain.sources.decision import Challenged, Decision, Ignored, decide
from activityctl.domain.sources.mapping import Mapped
from activityctl.domain.sources.refusal import Refusal, RefusalCode
from activityctl.domain.sources.request import MAX_BODY_BYTES, ReadJson, WebRequest
from activityctl.domain.sources.traffic import SourceTraffic, refused_request
from activityctl.domain.values.model import NAME_PATTERN
from activityctl.errors import ActivityctlError, NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Decide, EventStore, SecretReader, SourceLedger


@frozen_dataclass
class Receiver:
    """What receiving needs: the sources, the store of events, the secrets of this machine."""

    ledger: SourceLedger
    events: EventStore
    secrets: SecretReader
    decide: Decide
    """Evaluates the expressions of the mapping within their budgets."""
    read_json: ReadJson
    clock: Callable[[], datetime]


async def receive(receiver: Receiver, name: str, request: WebRequest) -> Answer:
    """Return the answer to a request; accepted events are stored for good when it returns.

    A refusal is recorded with its reason. Raises NotFoundError if there is no event source of
    that name, and UnreachableError if Postgres does not answer; then nothing is acknowledged.
    """
    source = await _source(receiver, name)
    secrets = await read_secrets(receiver.secrets, source.spec.verify.secret_names)
    now = receiver.clock()
    decision: Decision = await receiver.decide(
        decide, name, source.spec, request, secrets, now, receiver.read_json
    )
    outcomes: Sequence[EmitOutcome] = ()
    refusal: Refusal | None = None
    match decision.outcome:
        case Mapped(events) if events:
            outcomes = await receiver.events.add(events)
            if EmitOutcome.CONFLICT in outcomes:
                refusal = _conflict(decision.outcome, outcomes)
        case Refusal():
            refusal = decision.outcome
        case _:
            pass
    traffic = _traffic(decision, outcomes, refusal, now)
    refused = None
    if refusal is not None:
        refused = refused_request(request, refusal, now, tuple(secrets.values()))
    with suppress(ActivityctlError):  # what is stored is stored, whether it is counted or not
        await receiver.ledger.note(name, traffic, refused)
    return answer_of(source.spec, decision, outcomes)


async def refuse_large(receiver: Receiver, name: str, request: WebRequest) -> Answer:
    """Record a request whose body is over the limit and was not read; return the answer.

    Raises what `receive` raises.
    """
    source = await _source(receiver, name)
    reason = f"the body has more than {MAX_BODY_BYTES:,} bytes"
    refusal, now = Refusal(RefusalCode.BODY_TOO_LARGE, reason), receiver.clock()
    traffic = SourceTraffic(refused=1, last_refused_at=now)
    with suppress(ActivityctlError):
        await receiver.ledger.note(name, traffic, refused_request(request, refusal, now))
    return answer_of(source.spec, Decision(refusal))


async def read_secrets(reader: SecretReader, names: Iterable[str]) -> dict[str, str]:
    """Return the values of those secrets that can be read here, by name."""
    found = {}
    for name in names:
        with suppress(ActivityctlError):
            found[name] = (await reader.read(name)).value
    return found


async def _source(receiver: Receiver, name: str) -> PresentEventSource:
    source = await receiver.ledger.find(name) if re.fullmatch(NAME_PATTERN, name) else None
    if source is None:
        raise NotFoundError("source", name, hint="activityctl get sources")
    return source


def _conflict(mapped: Mapped, outcomes: Sequence[EmitOutcome]) -> Refusal:
    conflicts = [
        event.id
        for event, outcome in zip(mapped.events, outcomes, strict=True)
        if outcome is EmitOutcome.CONFLICT
    ]
    reason = (
        f"an event with id {conflicts[0]} is already stored with other content; the stored event "
        "is kept"
    )
    more = f" ({len(conflicts)} events of this request)" if len(conflicts) > 1 else ""
    return Refusal(RefusalCode.CONFLICT, reason + more)


def _traffic(
    decision: Decision, outcomes: Sequence[EmitOutcome], refusal: Refusal | None, now: datetime
) -> SourceTraffic:
    accepted = outcomes.count(EmitOutcome.ACCEPTED)
    is_ignored = isinstance(decision.outcome, Ignored) or (
        isinstance(decision.outcome, Mapped) and not decision.outcome.events
    )
    return SourceTraffic(
        accepted,
        outcomes.count(EmitOutcome.DUPLICATE),
        int(isinstance(decision.outcome, Challenged)),
        int(is_ignored),
        int(refusal is not None),
        now if accepted else None,
        now if refusal is not None else None,
    )
