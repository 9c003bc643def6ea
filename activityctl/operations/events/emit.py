"""Emit: events of an input checked, completed and stored; who they wake is found out elsewhere."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing

from activityctl.domain.events.emission import Emitted, OfferedEvent, emitted, refused
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.events.input import ReadEvent, RefusedEvent
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.wording import counted
from activityctl.errors import InvalidEventError, UnreachableError
from activityctl.operations.events.batching import in_batches
from activityctl.ports import EventStore

Fill = Callable[[JsonValue], tuple[JsonValue, tuple[str, ...]]]
"""Puts in what a sender may leave out; gives the names of what it put in, too."""
Offer = OfferedEvent | RefusedEvent


def offers_of(items: Iterable[ReadEvent | RefusedEvent], fill: Fill) -> Iterator[Offer]:
    """Yield each event of an input as it can be stored, or why it is refused."""
    for item in items:
        if isinstance(item, RefusedEvent):
            yield item
            continue
        try:
            yield OfferedEvent(item.origin, envelope_of(*fill(item.value)))
        except InvalidEventError as error:
            yield item.origin.refused_for(error)


async def emit(store: EventStore, offers: Iterable[Offer]) -> AsyncGenerator[list[Emitted], None]:
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


async def _store(store: EventStore, batch: Sequence[Offer]) -> list[Emitted]:
    events = [one.envelope for one in batch if isinstance(one, OfferedEvent)]
    outcomes = iter(await store.add(events) if events else ())
    return [
        emitted(one, next(outcomes)) if isinstance(one, OfferedEvent) else refused(one)
        for one in batch
    ]


def _bytes_of(offer: Offer) -> int:
    return len(offer.origin.text) if isinstance(offer, OfferedEvent) else 0


def _cut_off(error: UnreachableError, stored: int, first: Offer) -> UnreachableError:
    """Return the error with how far the input was stored, and how to go on."""
    if isinstance(first, OfferedEvent):
        number, file, line = first.origin.number, first.origin.file, first.origin.line
    else:
        number, file, line = first.number, first.problem.file, first.problem.line
    if number == 1:
        return UnreachableError(f"{error.message}; no event is known to be stored", hint=error.hint)
    place = f" ({file}:{line})" if line else ""
    return UnreachableError(
        f"{error.message}; {counted(stored, 'event is', 'events are')} stored, "
        f"those before event {number:,}{place}",
        hint=f"{error.hint}; then the same command again: what is stored counts as a duplicate",
    )
