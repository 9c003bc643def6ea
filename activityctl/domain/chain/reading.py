"""Readings of a chain's logs: what is read up to where, and which triggers each one serves.

A lane reads on with the chain, for all triggers with the same number of confirmations. A scan
reads the blocks before that, for triggers that want them, and then ends.
"""

from collections.abc import Iterable, Mapping, Sequence

from activityctl.domain.chain.chain_log import ChainLog
from activityctl.domain.chain.event_signature import EventSignature
from activityctl.domain.chain.log_event import log_event
from activityctl.domain.chain.log_filter import LogFilter, LogMatcher, union_of
from activityctl.domain.chain.trigger import ChainTrigger
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.frozen_dataclass import frozen_dataclass

TriggerKey = tuple[str, str]
"""The id of a subscription, and the name of its trigger."""


@frozen_dataclass
class Reading:
    """How far the logs of a chain are read."""

    id: str
    chain_id: int
    confirmations: int
    number: int
    """The last block that was read."""
    hash: str | None = None
    """Its hash; None if it was not read itself, but is where the reading begins."""
    until: int | None = None
    """The last block of a scan; None for a lane."""

    def target(self, head: int) -> int:
        """Return the last block that may be read when the chain has this height."""
        confirmed = head - self.confirmations
        return confirmed if self.until is None else min(confirmed, self.until)

    @property
    def is_done(self) -> bool:
        """Whether a scan has read all of its blocks."""
        return self.until is not None and self.number >= self.until


@frozen_dataclass
class Watch:
    """A trigger that has begun to watch a chain."""

    subscription_id: str
    trigger: str
    chain_id: int
    confirmations: int
    from_block: int | None
    """What its manifest says; None for `latest`."""
    after: int
    """The lane's logs count from the block after this one on."""
    scan: str | None = None
    """The scan that reads the blocks before."""

    @property
    def key(self) -> TriggerKey:
        """Subscription and trigger."""
        return self.subscription_id, self.trigger


@frozen_dataclass
class ReadingChanges:
    """What changes so that the readings serve the triggers."""

    watches: tuple[Watch, ...] = ()
    """Watches that are new or begin anew."""
    ended_watches: tuple[TriggerKey, ...] = ()
    readings: tuple[Reading, ...] = ()
    """Readings that are new."""
    ended_readings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.watches, self.ended_watches, self.readings, self.ended_readings))


def plan_readings(
    wanted: Mapping[TriggerKey, ChainTrigger],
    watches: Iterable[Watch],
    readings: Iterable[Reading],
    heads: Mapping[int, int],
) -> ReadingChanges:
    """Return what changes; triggers of a chain whose height is not known wait.

    A new trigger begins after the present height, so it misses no later block, and a scan reads
    what it wants of those before. A trigger with another number of confirmations goes on where
    its former lane was.
    """
    known = {watch.key: watch for watch in watches}
    present = {reading.id: reading for reading in readings}
    new, fresh = list[Watch](), dict[str, Reading]()
    for key, trigger in wanted.items():
        head = heads.get(trigger.chain_id)
        if head is None or _is_current(known.get(key), trigger):
            continue
        watch, scan = _begin(key, trigger, known.get(key), present, head)
        new.append(watch)
        if scan is not None:
            fresh[scan.id] = scan
    lanes = {trigger.lane: trigger for trigger in wanted.values()}
    for lane, trigger in lanes.items():
        if lane not in present and trigger.chain_id in heads:
            head = heads[trigger.chain_id]
            fresh[lane] = Reading(lane, trigger.chain_id, trigger.confirmations, head)
    after = {**known, **{watch.key: watch for watch in new}}
    scans = {watch.scan for key, watch in after.items() if key in wanted}
    return ReadingChanges(
        tuple(new),
        tuple(key for key in known if key not in wanted),
        tuple(fresh.values()),
        tuple(
            reading.id
            for reading in present.values()
            if reading.id not in lanes and (reading.is_done or reading.id not in scans)
        ),
    )


def _is_current(watch: Watch | None, trigger: ChainTrigger) -> bool:
    return watch is not None and (watch.chain_id, watch.confirmations, watch.from_block) == (
        trigger.chain_id,
        trigger.confirmations,
        trigger.first_wanted,
    )


def _begin(
    key: TriggerKey,
    trigger: ChainTrigger,
    before: Watch | None,
    present: Mapping[str, Reading],
    head: int,
) -> tuple[Watch, Reading | None]:
    first = trigger.first_wanted
    if (
        before is not None
        and (before.chain_id, before.from_block) == (trigger.chain_id, first)
        and (lane := present.get(f"{before.chain_id}/{before.confirmations}")) is not None
    ):
        first = max(lane.number, before.after) + 1
    if first is None or first > head:
        after, scan = max(head, (first or 0) - 1), None
    else:
        after = head
        name = f"{trigger.lane}/{first}-{head}"
        scan = Reading(name, trigger.chain_id, trigger.confirmations, first - 1, until=head)
    watch = Watch(
        *key,
        trigger.chain_id,
        trigger.confirmations,
        trigger.first_wanted,
        after,
        None if scan is None else scan.id,
    )
    return watch, scan


class ReadingTriggers:
    """The triggers that one reading serves: one query for all, and the events of its logs."""

    def __init__(
        self,
        reading: Reading,
        wanted: Mapping[TriggerKey, ChainTrigger],
        watches: Mapping[TriggerKey, Watch],
    ) -> None:
        self.reading = reading
        served = [
            trigger
            for key, trigger in wanted.items()
            if (watch := watches.get(key)) is not None and reading.id in (trigger.lane, watch.scan)
        ]
        pairs: dict[tuple[LogFilter, str], EventSignature | None] = {
            (trigger.log_filter, event.text if event else ""): event
            for trigger in served
            for event in [trigger.signature]
        }
        filters = [pair[0] for pair in pairs]
        self._events: Sequence[EventSignature | None] = list(pairs.values())
        self._matcher = LogMatcher(filters)
        self.query = union_of(filters).query()
        self.count = len(served)

    def wants(self, log: ChainLog) -> bool:
        """Whether any trigger wants the log."""
        return bool(self._matcher.matching(log))

    def events(self, log: ChainLog, block_time: int) -> list[EventEnvelope]:
        """Return the events of a log, one for each declaration that a matching trigger uses."""
        found = {
            (event.text if event else ""): event
            for event in (self._events[number] for number in self._matcher.matching(log))
        }
        made = (
            log_event(self.reading.chain_id, self.reading.id, event, log, block_time)
            for event in found.values()
        )
        return [event for event in made if event is not None]
