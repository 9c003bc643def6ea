"""Wait until it is known whom events woke, and until the runs that they started have ended."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from activityctl.domain.events.stored_event import Verdict, VerdictOutcome
from activityctl.domain.runs.run import Run
from activityctl.domain.values.ids import EventId, RunId
from activityctl.domain.values.plurals import count_noun
from activityctl.ports import EventStore, RunLists

_FIRST_POLL: Final = 0.02
_LONGEST_POLL: Final = 0.5
_ASKED_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class EventResults:
    """What events led to, as far as it is known."""

    unrouted: frozenset[EventId] = frozenset()
    """Events of which nobody knows yet whom they wake."""
    verdicts: Mapping[EventId, Sequence[Verdict]] = field(default_factory=dict)
    runs: Mapping[RunId, Run] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every event is routed and every run that one started has ended."""
        started = {run for one in self._woken() if (run := one.run_id) is not None}
        ended = {run.id for run in self.runs.values() if run.has_ended}
        return not self.unrouted and started <= ended

    def _woken(self) -> Iterator[Verdict]:
        for verdicts in self.verdicts.values():
            yield from (one for one in verdicts if one.outcome is VerdictOutcome.WOKEN)


async def await_events(
    store: EventStore,
    lists: RunLists,
    event_ids: Sequence[EventId],
    *,
    timeout_seconds: float,
    on_progress: Callable[[str], None] = lambda _: None,
) -> EventResults:
    """Return what the events led to when all of it has ended, or when time is up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    pause = _FIRST_POLL
    waiting = _Waiting(store, lists, list(dict.fromkeys(event_ids)))
    while True:
        found = await waiting.look()
        left = deadline - loop.time()
        if found.is_complete or left <= 0:
            return found
        on_progress(waiting.described())
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_POLL)


class _Waiting:
    """What is still waited for, so that only that is asked for again."""

    def __init__(self, store: EventStore, lists: RunLists, event_ids: list[EventId]) -> None:
        self._store = store
        self._lists = lists
        self._unrouted = event_ids
        self._verdicts: dict[EventId, list[Verdict]] = defaultdict(list)
        self._open: set[RunId] = set()
        self._runs: dict[RunId, Run] = {}

    async def look(self) -> EventResults:
        waiting: list[EventId] = []
        for some in _slices(self._unrouted):
            waiting += await self._route(some)
        self._unrouted = waiting
        for runs in _slices(sorted(self._open)):
            for run in await self._lists.runs_of(runs):
                self._runs[run.id] = run
                if run.has_ended:
                    self._open.discard(run.id)
        return EventResults(frozenset(self._unrouted), self._verdicts, self._runs)

    def described(self) -> str:
        if self._unrouted:
            return count_noun(len(self._unrouted), "event waits", "events wait") + " to be routed"
        return count_noun(len(self._open), "run has", "runs have") + " not ended"

    async def _route(self, some: Sequence[str]) -> list[EventId]:
        """Take in the verdicts of those events that are routed by now; return the others."""
        waiting = await self._store.unrouted(some)
        routed = sorted(set(some).difference(waiting))
        for verdict in await self._store.verdicts(routed) if routed else ():
            if not verdict.replay:
                self._verdicts[verdict.event_id].append(verdict)
                if (run := verdict.run_id) is not None:
                    self._open.add(run)
        return waiting


def _slices(items: Sequence[EventId] | Sequence[RunId]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _ASKED_AT_ONCE):
        yield items[start : start + _ASKED_AT_ONCE]
