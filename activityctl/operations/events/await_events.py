"""Wait until events are routed and the runs that they started have ended."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Final

from activityctl.domain.events.stored_event import Verdict, VerdictOutcome
from activityctl.domain.runs.run import Run
from activityctl.domain.values.ids import EventId, RunId
from activityctl.domain.values.plurals import count_noun
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import EventStore, RunLists

_FIRST_POLL: Final = 0.02
_LONGEST_POLL: Final = 0.5
_IDS_PER_QUERY: Final = 1_000


@frozen_dataclass
class EventResults:
    """The verdicts and runs of events, as far as they are known."""

    unrouted: frozenset[EventId] = frozenset()
    """Events that are not routed yet, so their verdicts are unknown."""
    verdicts: Mapping[EventId, Sequence[Verdict]] = field(default_factory=dict)
    runs: Mapping[RunId, Run] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every event is routed and every run that an event started has ended."""
        started = {run for verdict in self._woken() if (run := verdict.run_id) is not None}
        ended = {run.id for run in self.runs.values() if run.has_ended}
        return not self.unrouted and started <= ended

    def _woken(self) -> Iterator[Verdict]:
        for verdicts in self.verdicts.values():
            yield from (verdict for verdict in verdicts if verdict.outcome is VerdictOutcome.WOKEN)


async def await_events(
    store: EventStore,
    lists: RunLists,
    event_ids: Sequence[EventId],
    *,
    timeout_seconds: float,
    on_progress: Callable[[str], None] = lambda _: None,
) -> EventResults:
    """Return the verdicts and runs of the events once all have ended, or when time is up.

    `on_progress` is called at each poll with a text that says what is still open.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    pause = _FIRST_POLL
    poll = _Poll(store, lists, list(dict.fromkeys(event_ids)))
    while True:
        results = await poll.read()
        left = deadline - loop.time()
        if results.is_complete or left <= 0:
            return results
        on_progress(poll.open_work())
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_POLL)


class _Poll:
    """Reads verdicts and runs; each read asks only for what was not complete before."""

    def __init__(self, store: EventStore, lists: RunLists, event_ids: list[EventId]) -> None:
        self._store = store
        self._lists = lists
        self._unrouted = event_ids
        self._verdicts: dict[EventId, list[Verdict]] = defaultdict(list)
        self._open: set[RunId] = set()
        self._runs: dict[RunId, Run] = {}

    async def read(self) -> EventResults:
        waiting: list[EventId] = []
        for event_ids in _slices(self._unrouted):
            waiting += await self._read_verdicts(event_ids)
        self._unrouted = waiting
        for run_ids in _slices(sorted(self._open)):
            for run in await self._lists.runs_of(run_ids):
                self._runs[run.id] = run
                if run.has_ended:
                    self._open.discard(run.id)
        return EventResults(frozenset(self._unrouted), self._verdicts, self._runs)

    def open_work(self) -> str:
        if self._unrouted:
            return count_noun(len(self._unrouted), "event is", "events are") + " not routed yet"
        return count_noun(len(self._open), "run has", "runs have") + " not ended yet"

    async def _read_verdicts(self, event_ids: Sequence[str]) -> list[EventId]:
        """Add the verdicts of the events that are routed now; return the other events."""
        waiting = await self._store.unrouted(event_ids)
        routed = sorted(set(event_ids).difference(waiting))
        for verdict in await self._store.verdicts(routed) if routed else ():
            if not verdict.replay:
                self._verdicts[verdict.event_id].append(verdict)
                if (run := verdict.run_id) is not None:
                    self._open.add(run)
        return waiting


def _slices(items: Sequence[EventId] | Sequence[RunId]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _IDS_PER_QUERY):
        yield items[start : start + _IDS_PER_QUERY]
