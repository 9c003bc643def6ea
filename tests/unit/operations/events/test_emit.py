"""Emit: each event gets a result, and a lost connection is reported with the progress so far."""

import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from activityctl.adapters.manifests.event_stream import read_events
from activityctl.adapters.memory.events.events import MemoryEventStore
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.events.emit_note import EmitNote
from activityctl.domain.events.emit_result import Emitted, ValidEvent
from activityctl.domain.events.envelope import EventEnvelope, envelope_of, fill
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.values.model import JsonValue
from activityctl.errors import UnreachableError
from activityctl.operations.events.emit import CheckedEvent, checked_events, emit

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def checked(text: str) -> Iterator[CheckedEvent]:
    numbers = itertools.count(1)

    def fill_in(value: JsonValue) -> tuple[JsonValue, tuple[str, ...]]:
        return fill(value, NOW, lambda: f"made-{next(numbers)}", "/here")

    return checked_events(read_events(io.BytesIO(text.encode()), "in"), fill_in)


async def emitted(store: MemoryEventStore, text: str) -> list[Emitted]:
    async with aclosing(emit(store, checked(text))) as batches:
        return [result async for batch in batches for result in batch]


class FailingStore(MemoryEventStore):
    """A store that becomes unreachable after a number of calls."""

    def __init__(self, calls: int) -> None:
        super().__init__(MemoryState())
        self.calls = calls

    async def add(
        self, events: Sequence[EventEnvelope], note: EmitNote | None = None
    ) -> list[EmitOutcome]:
        if not self.calls:
            raise UnreachableError("Postgres does not answer: gone", hint="activityctl doctor")
        self.calls -= 1
        return await super().add(events, note)


async def test_each_result_has_number_outcome_and_added_attributes():
    text = '{"type":"a"}\nnonsense\n{"type":"b","id":"x"}\n{"type":"c","id":"x"}\n{"id":"y"}'
    found = await emitted(MemoryEventStore(MemoryState()), text)
    assert [(result.number, result.outcome.value) for result in found] == [
        (1, "accepted"),
        (2, "invalid"),
        (3, "accepted"),
        (4, "conflict"),
        (5, "invalid"),
    ]
    assert found[0].id == "made-1"
    assert found[0].filled == ("specversion", "id", "time", "source")
    assert [str(result.problem) for result in found if result.problem] == [
        "in:2:1: not valid JSON: Expecting value",
        (
            "in:4:1: an event with id x and source /here is already stored with other content; "
            "the stored event is kept"
        ),
        "in:5:1: type: is missing",
    ]


@pytest.mark.parametrize(
    "more",
    [
        '"data": {"b": 1.50, "a": [1, null]}',
        '"time": "2026-01-01T00:00:00Z"',
        '"time": "2026-01-01T00:00:00Z", "subject": null, "data": null',
        '"data_base64": "YQ==", "data": null',
        r'"data": "\u00fc\n"',
    ],
)
def test_what_is_stored_of_an_event_comes_from_its_attributes_and_not_from_its_text(more: str):
    text = f'{{"type": "t", "source": "/s", "id": "x", "specversion": "1.0", {more}}}'
    (event,) = checked(text)
    assert isinstance(event, ValidEvent)
    filled = fill(json.loads(text), NOW, str)
    assert event.envelope.stored == envelope_of(*filled).stored
    assert event.envelope.document == envelope_of(*filled).document


async def test_a_lost_connection_is_reported_with_the_event_to_continue_from():
    text = "\n".join(f'{{"type":"t","id":"{number}"}}' for number in range(2_500))
    store = FailingStore(calls=1)
    with pytest.raises(UnreachableError) as raised:
        await emitted(store, text)
    progress = re.search(
        r"([\d,]+) events are stored; storing stopped before event ([\d,]+) \(in:(\d+)\)",
        raised.value.message,
    )
    assert progress is not None
    stored, following, line = (int(number.replace(",", "")) for number in progress.groups())
    assert 0 < stored <= 1_000  # as many as a slow reader had read, or a whole batch
    assert following == line == stored + 1
    assert "repeat the command" in (raised.value.hint or "")
    store.calls = 2_500
    found = await emitted(store, text)
    assert [result.outcome.value for result in found] == (
        ["duplicate"] * stored + ["accepted"] * (2_500 - stored)
    )


async def test_without_a_connection_no_event_is_reported_as_stored():
    with pytest.raises(UnreachableError, match="no event is known to be stored"):
        await emitted(FailingStore(calls=0), '{"type":"t"}')


async def test_invalid_events_alone_do_not_call_the_store():
    found = await emitted(FailingStore(calls=0), "nonsense\n[]")
    assert [result.outcome.value for result in found] == ["invalid", "invalid"]
