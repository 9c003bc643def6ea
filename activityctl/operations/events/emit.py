"""Emit: events of an input checked, completed and stored; who they wake is found out elsewhere."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing

from activityctl.domain.events.emit_result import Emitted, ValidEvent, invalid_result, stored_result
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.events.input import InvalidEvent, ParsedEvent
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import InvalidEventError, UnreachableError
from activityctl.operations.events.batching import in_batches
from activityctl.ports import EventStore

Fill = Callable[[JsonValue], tuple[JsonValue, tuple[str, ...]]]
"""Puts in what a sender may leave out; gives the names of what it put in, too."""
CheckedEvent = ValidEvent | InvalidEvent


def checked_events(
    items: Iterable[ParsedEvent | InvalidEvent], fill: Fill
) -> Iterator[CheckedEvent]:
    """Yield each event of an input as it can be stored, or why it is refused."""
    for item in items:
        if isinstance(item, InvalidEvent):
            yield item
            continue
        try:
            yield ValidEvent(item.origin, envelope_of(*fill(item.value)))
        except InvalidEventError as error:
            yield item.origin.refused_for(error)


async def emit(
    store: EventStore, offers: Iterable[CheckedEvent]
) -> AsyncGenerator[list[Emitted], None]:
    """Store the events in their order, and yield what became of them once that is committed.

    Memory stays flat whatever the length of the input. A repeat is harmless: what is stored
    counts as a duplicate. UnreachableError says what is stored when Postgres goes away.
    """
    stored = 0
    async with aclosing(in_batches(offers, _bytes_of)) as batches:
        async for batch in batches:
            try:
                results = await _store(store, batch)
            except UnreachableError as error:
                raise _cut_off(error, stored, batch[0]) from error
            stored += sum(one.id is not None for one in results)
            yield results


async def _store(store: EventStore, batch: Sequence[CheckedEvent]) -> list[Emitted]:
    events = [one.envelope for one in batch if isinstance(one, ValidEvent)]
    outcomes = iter(await store.add(events) if events else ())
    return [
        stored_result(one, next(outcomes)) if isinstance(one, ValidEvent) else invalid_result(one)
        for one in batch
    ]


def _bytes_of(offer: CheckedEvent) -> int:
    return len(offer.origin.text) if isinstance(offer, ValidEvent) else 0


def _cut_off(error: UnreachableError, stored: int, first: CheckedEvent) -> UnreachableError:
    """Return the error with how far the input was stored, and how to go on."""
    if isinstance(first, ValidEvent):
        number, file, line = first.origin.number, first.origin.file, first.origin.line
    else:
        number, file, line = first.number, first.problem.file, first.problem.line
    if number == 1:
        return UnreachableError(f"{error.message}; no event is known to be stored", hint=error.hint)
    place = f" ({file}:{line})" if line else ""
    return UnreachableError(
        f"{error.message}; {count_noun(stored, 'event is', 'events are')} stored, "
        f"those before event {number:,}{place}",
        hint=f"{error.hint}; then the same command again: what is stored counts as a duplicate",
    )
