"""Check, complete and store the events of an input; routing them is done by the worker."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing

from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.events.emit_note import EmitNote
from activityctl.domain.events.emit_result import Emitted, ValidEvent, invalid_result, stored_result
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.events.input import InvalidEvent, ParsedEvent
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import InvalidEventError, UnreachableError
from activityctl.operations.events.batching import in_batches, in_slices
from activityctl.ports import EventStore

Fill = Callable[[JsonValue], tuple[JsonValue, tuple[str, ...]]]
"""Adds the attributes that a sender may leave out; returns the event and the added names."""
CheckedEvent = ValidEvent | InvalidEvent


def checked_events(
    items: Iterable[ParsedEvent | InvalidEvent], fill: Fill
) -> Iterator[CheckedEvent]:
    """Yield each event of an input, complete and ready to store, or why it is invalid."""
    for item in items:
        if isinstance(item, InvalidEvent):
            yield item
            continue
        try:
            value, filled = fill(item.value)
            canonical = None if filled else item.canonical
            yield ValidEvent(item.origin, envelope_of(value, filled, canonical))
        except InvalidEventError as error:
            yield item.origin.refused_for(error)


async def emit(
    store: EventStore,
    items: Iterable[CheckedEvent],
    *,
    is_slow: bool = True,
    note: Callable[[], AuditEntry] | None = None,
) -> AsyncGenerator[list[Emitted], None]:
    """Store the events in their order, and yield their results once these are committed.

    Memory does not grow with the length of the input. A repeat is harmless: an event that is
    already stored counts as a duplicate. Items of a slow input, such as a file or a pipe, are read
    by a thread. When Postgres becomes unreachable, the UnreachableError
    says how many events are stored. The entry that `note` returns is kept with the events of a
    batch, and gets their numbers; a batch without any valid event is not noted.
    """
    stored = 0
    reading = in_batches(_serialised(items), bytes_of) if is_slow else in_slices(items, bytes_of)
    async with aclosing(reading) as batches:
        async for batch in batches:
            try:
                results = await _store(store, batch, note)
            except UnreachableError as error:
                raise _with_progress(error, stored, batch[0]) from error
            stored += sum(result.id is not None for result in results)
            yield results


def _serialised(items: Iterable[CheckedEvent]) -> Iterator[CheckedEvent]:
    """Yield the events once they have their texts and digests.

    So the thread that reads makes these, while Postgres stores the events before.
    """
    for item in items:
        if isinstance(item, ValidEvent):
            _ = item.envelope.stored
        yield item


async def _store(
    store: EventStore, batch: Sequence[CheckedEvent], note: Callable[[], AuditEntry] | None
) -> list[Emitted]:
    events = [item.envelope for item in batch if isinstance(item, ValidEvent)]
    noted = EmitNote(note(), len(batch) - len(events)) if note is not None and events else None
    outcomes = iter(await store.add(events, noted) if events else ())
    return [
        stored_result(item, next(outcomes))
        if isinstance(item, ValidEvent)
        else invalid_result(item)
        for item in batch
    ]


def bytes_of(item: CheckedEvent) -> int:
    """Return how long the text of an event is; 0 for one that is not valid."""
    return len(item.origin.text) if isinstance(item, ValidEvent) else 0


def _with_progress(error: UnreachableError, stored: int, first: CheckedEvent) -> UnreachableError:
    """Return the error with the number of stored events, and how to continue.

    `first` is the first event that may not be stored.
    """
    if isinstance(first, ValidEvent):
        number, file, line = first.origin.number, first.origin.file, first.origin.line
    else:
        number, file, line = first.number, first.problem.file, first.problem.line
    if number == 1:
        return UnreachableError(f"{error.message}; no event is known to be stored", hint=error.hint)
    place = f" ({file}:{line})" if line else ""
    return UnreachableError(
        f"{error.message}; {count_noun(stored, 'event is', 'events are')} stored; "
        f"storing stopped before event {number:,}{place}",
        hint=f"{error.hint}; then repeat the command: stored events count as duplicates",
    )
